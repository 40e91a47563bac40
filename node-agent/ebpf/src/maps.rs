//! What the programs remember. Sizes are fixed here; what does not fit is refused.
//!
//! Identity and grants are never in an LRU map: forgetting the oldest would take access from somebody.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use lanyard_node_agent_abi::{
    cause::COUNTERS,
    grant::{Grant, GrantKey, SLOTS, Slot},
    process::{ArmedFile, Image, Process, ScopePorts},
    tag::Tag,
};

/// Cgroup id to scope.
#[map]
pub(crate) static SCOPE: HashMap<u64, u32> = HashMap::with_max_entries(16_384, 0);

/// Scope to the ports of its broker.
#[map]
pub(crate) static PORTS: HashMap<u32, ScopePorts> = HashMap::with_max_entries(16_384, 0);

/// Thread group to what is known of it.
#[map]
pub(crate) static PROC: HashMap<u32, Process> = HashMap::with_max_entries(131_072, 0);

/// Thread group to the file that its next execution must be.
#[map]
pub(crate) static ARMED: HashMap<u32, ArmedFile> = HashMap::with_max_entries(1_024, 0);

/// Image to how many processes run it.
#[map]
pub(crate) static LIVE: HashMap<u64, u64> = HashMap::with_max_entries(65_536, 0);

/// Image to what it is. Written by the node agent, removed here with the last process.
#[map]
pub(crate) static IMAGE: HashMap<u64, Image> = HashMap::with_max_entries(65_536, 0);

/// Destination of a principal to its slot.
#[map]
pub(crate) static GRANT: HashMap<GrantKey, Grant> = HashMap::with_max_entries(65_536, 0);

/// Deadlines.
#[map]
pub(crate) static SLOT: Array<Slot> = Array::with_max_entries(SLOTS, 0);

/// A connection's two ends, while its tag goes from the one to the other.
#[map]
pub(crate) static HANDOVER: LruHashMap<Ends, Tag> = LruHashMap::with_max_entries(16_384, 0);

/// Executions counted on each processor: the upper bits of an `ExecId`.
#[map]
pub(crate) static SEQUENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Refusals by cause, and events lost by ring.
#[map]
pub(crate) static COUNTER: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// `ExecEvent`s.
#[map]
pub(crate) static EXECS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// `RefusalEvent`s.
#[map]
pub(crate) static REFUSALS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// `FlowEvent`s.
#[map]
pub(crate) static FLOWS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Key of [`HANDOVER`]: as the connecting side sees it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// Network namespace.
    pub(crate) namespace: u64,
    /// The connecting side's address.
    pub(crate) from: [u32; 4],
    /// The accepting side's address.
    pub(crate) to: [u32; 4],
    /// The connecting side's port, host order.
    pub(crate) from_port: u32,
    /// The accepting side's port, host order.
    pub(crate) to_port: u32,
}

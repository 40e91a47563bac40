//! What the programs remember. Sizes are fixed here; what does not fit is refused, and no scope may use
//! more than its share ([`lanyard_node_agent_abi::process::quota`]).
//!
//! Nothing is in an LRU map: forgetting the oldest would take access from somebody.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf},
};
use lanyard_node_agent_abi::{
    cause::COUNTERS,
    event::{self, ARGUMENTS, ExecEvent, LOADER_NAME},
    grant::{Grant, GrantKey, SLOTS, Slot},
    pod::{BrokerPort, CGROUP_NAME},
    process::{ArmedFile, Image, Process, ScopeSettings, Usage},
    tag::Tag,
    unix::UnixKey,
};

/// Cgroup id to scope.
#[map]
pub(crate) static SCOPE: HashMap<u64, u32> = HashMap::with_max_entries(16_384, 0);

/// A pod's cgroup by its own name, filled up with zeros, to the pod's scope: whatever cgroup of that name is made is
/// the pod's.
#[map]
pub(crate) static POD: HashMap<[u8; CGROUP_NAME], u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// Cgroups of pods and of their containers; see [`lanyard_node_agent_abi::pod::container`].
#[map]
pub(crate) static CONTAINER: HashMap<u64, u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// Thread groups that are a pod's broker, with the image that was attested: they are in their pod and not in its scope.
#[map]
pub(crate) static BROKER: HashMap<u32, u64> = HashMap::with_max_entries(4_096, 0);

/// Scope to what holds for all of it.
#[map]
pub(crate) static SETTINGS: HashMap<u32, ScopeSettings> = HashMap::with_max_entries(16_384, 0);

/// Scope to what it uses of the maps below. Made and removed by the node agent.
#[map]
pub(crate) static USAGE: HashMap<u32, Usage> = HashMap::with_max_entries(16_384, 0);

/// Thread group to what is known of it.
#[map]
pub(crate) static PROC: HashMap<u32, Process> = HashMap::with_max_entries(131_072, 0);

/// Thread group to the file that its next execution must be.
#[map]
pub(crate) static ARMED: HashMap<u32, ArmedFile> = HashMap::with_max_entries(1_024, 0);

/// Image to how many processes run it.
#[map]
pub(crate) static LIVE: HashMap<u64, u64> = HashMap::with_max_entries(131_072, 0);

/// Image to what it is. Made here with the execution, settled by the node agent, removed here with the
/// last process.
#[map]
pub(crate) static IMAGE: HashMap<u64, Image> = HashMap::with_max_entries(131_072, 0);

/// Destination of a principal to its slots.
#[map]
pub(crate) static GRANT: HashMap<GrantKey, Grant> =
    HashMap::with_max_entries(262_144, BPF_F_NO_PREALLOC);

/// Network of a principal to its slots.
#[map]
pub(crate) static NETWORK: LpmTrie<GrantKey, Grant> =
    LpmTrie::with_max_entries(65_536, BPF_F_NO_PREALLOC);

/// Deadlines.
#[map]
pub(crate) static SLOT: Array<Slot> = Array::with_max_entries(SLOTS, 0);

/// Until when anything is granted at all, in nanoseconds of the boot clock.
#[map]
pub(crate) static LEASE: Array<u64> = Array::with_max_entries(1, 0);

/// A connection's two ends, while its tag goes from the one to the other.
#[map]
pub(crate) static HANDOVER: HashMap<Ends, Tag> = HashMap::with_max_entries(65_536, 0);

/// Ports of brokers to their scope.
#[map]
pub(crate) static BROKER_PORT: HashMap<BrokerPort, u32> = HashMap::with_max_entries(65_536, 0);

/// Unix sockets that a scope may reach.
#[map]
pub(crate) static UNIX_SOCKET: HashMap<UnixKey, u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// Names of variables that change what a program loads, filled up with zeros, to their number.
#[map]
pub(crate) static LOADER: HashMap<[u8; LOADER_NAME], u32> = HashMap::with_max_entries(64, 0);

/// Variables that would count, exactly as Lanyard itself sets them, filled up with zeros: these do not.
#[map]
pub(crate) static OWN_VARIABLE: HashMap<[u8; event::OWN_VARIABLE], u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// Which generation of the tracing programs works; the others do nothing.
#[map]
pub(crate) static ACTIVE: Array<u32> = Array::with_max_entries(1, 0);

/// Where an `ExecEvent` is put together: it is too long for a program's stack. Tracepoints run with
/// preemption off, so that one processor puts one together at a time.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Executions counted on each processor: the upper bits of an `ExecId`.
#[map]
pub(crate) static SEQUENCE: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Refusals by cause, and events lost by ring.
#[map]
pub(crate) static COUNTER: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// `ExecEvent`s, each with its arguments behind it.
#[map]
pub(crate) static EXECS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// `RefusalEvent`s.
#[map]
pub(crate) static REFUSALS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// `FlowEvent`s.
#[map]
pub(crate) static FLOWS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// See [`SCRATCH`].
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) event: ExecEvent,
    /// Behind the event, as the ring has it.
    pub(crate) arguments: [u8; ARGUMENTS],
    /// One variable of the environment.
    pub(crate) variable: [u8; VARIABLE],
    /// The same as `OWN_VARIABLE` has it.
    pub(crate) own: [u8; event::OWN_VARIABLE],
}

// Zeros are written over it word by word.
const _: () = assert!(core::mem::offset_of!(Scratch, own).is_multiple_of(size_of::<u64>()));

/// How much of a variable is read at once.
pub(crate) const VARIABLE: usize = 4096;

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

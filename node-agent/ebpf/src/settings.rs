//! What the loader wrote into read-only data, and reads of kernel memory by it.

use core::ptr::read_volatile;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use lanyard_node_agent_abi::settings::Offsets;

/// Set by the loader; all zero if it forgot, which it refuses to do.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::ZERO;

/// Offsets of kernel struct members. The verifier sees them as constants, for the map is frozen.
#[inline(always)]
pub(crate) fn offsets() -> Offsets {
    // SAFETY: a valid static of a plain type; volatile, so that the compiler does not fold the zeros in.
    unsafe { read_volatile(&raw const OFFSETS) }
}

/// Reads a value of kernel memory; zero if it cannot be read.
#[inline(always)]
pub(crate) fn read<T: Copy + Default>(base: usize, offset: u32) -> T {
    // SAFETY: the helper checks the address itself and fails where it is none.
    unsafe { bpf_probe_read_kernel((base + offset as usize) as *const T) }.unwrap_or_default()
}

//! Plain types at aya's door.

use aya::Pod;
use lanyard_node_agent_abi::plain::Plain;

/// A plain type as a key or a value of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Shared<T: Plain>(pub(crate) T);

#[expect(
    unsafe_code,
    reason = "the map accessors want aya's own promise about memory"
)]
// SAFETY: transparent around a type that promises to have no padding and no invalid bit pattern.
unsafe impl<T: Plain> Pod for Shared<T> {}

/// Reads an event of a ring. Nothing if the kernel sent another length.
pub(crate) fn from_ring<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    #[expect(
        unsafe_code,
        reason = "an event is its bytes; no safe read of a foreign plain type exists"
    )]
    // SAFETY: exactly as many bytes as the type has, every bit pattern of which is a value; unaligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

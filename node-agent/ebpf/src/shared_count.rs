//! A count that several processors change at once.
//!
//! The `fetch_add` of `core` is not compiled for this target, which lacks compare-and-swap in its oldest
//! form; the instruction itself is there since Linux 5.12 (RFC 9669, 5.3).

use core::arch::asm;

/// Adds to a count in a map and returns what it was before.
///
/// # Safety
///
/// `count` is an aligned map value that lives through the call.
#[inline(always)]
pub(crate) unsafe fn fetch_add(count: *mut u64, amount: u64) -> u64 {
    let mut value = amount;
    // SAFETY: the caller's promise; the instruction touches these eight bytes and one register.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({count} + 0), {value})", value = inout(reg) value, count = in(reg) count);
    }
    value
}

//! Zeros over a value that is too long for the stack.

/// Sets `value` to zeros.
///
/// Word by word, and volatile: the compiler makes a call of `memset` of anything else, which goes byte by byte, and each of
/// its steps was walked by the verifier on every path to it, for most of what it looked at in `on_exec`.
///
/// # Safety
///
/// `value` is a value of a map, or a member of one, that may be written and starts at a multiple of eight.
#[inline(always)]
pub(super) unsafe fn zero<T>(value: *mut T) {
    const { assert!(size_of::<T>() % size_of::<u64>() == 0) };
    let words = value.cast::<u64>();
    let mut at = 0;
    while at < size_of::<T>() / size_of::<u64>() {
        // SAFETY: within the value, by the caller's promise.
        unsafe { words.add(at).write_volatile(0) };
        at += 1;
    }
}

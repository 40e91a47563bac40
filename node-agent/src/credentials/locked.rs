//! Memory for a secret at rest: never swapped, never dumped, cleared when it is let go.
#![expect(
    unsafe_code,
    reason = "memory of one's own is a bare address to the kernel"
)]

use std::{fmt, ptr::NonNull, slice};

use rustix::{
    mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous, munmap},
    param::page_size,
};
use zeroize::Zeroize as _;

/// Bytes in pages of their own.
pub(super) struct Locked {
    pages: NonNull<u8>,
    /// Of the mapping, in whole pages.
    size: usize,
    length: usize,
}

impl Locked {
    /// Copies the secret there. Where the system locks no more memory (`RLIMIT_MEMLOCK`), it rests unlocked,
    /// and the log says so.
    ///
    /// # Panics
    ///
    /// When the system has no memory at all, as every allocation does.
    pub(super) fn new(secret: &[u8]) -> Self {
        let size = secret.len().max(1).next_multiple_of(page_size());
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing of ours.
        let pages = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let pages = NonNull::new(pages.expect("memory for a secret").cast::<u8>())
            .expect("a mapping has an address");
        let mapped = Self {
            pages,
            size,
            length: secret.len(),
        };
        mapped.keep_in_memory();
        // SAFETY: the mapping has at least `secret.len()` bytes, and nobody else knows it yet.
        unsafe { std::ptr::copy_nonoverlapping(secret.as_ptr(), pages.as_ptr(), secret.len()) };
        mapped
    }

    /// Shows the bytes.
    pub(super) fn reveal(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`, has `length` bytes that were written, and is never
        // written again before it goes.
        unsafe { slice::from_raw_parts(self.pages.as_ptr(), self.length) }
    }

    fn keep_in_memory(&self) {
        let pages = self.pages.as_ptr().cast();
        // SAFETY: the range is exactly one mapping of this struct.
        if let Err(error) = unsafe { mlock(pages, self.size) } {
            tracing::warn!(%error, "a secret could not be locked in memory: it may be swapped out where there is swap");
        }
        // SAFETY: the range is exactly one mapping of this struct; the advice changes what a dump holds alone.
        if let Err(error) = unsafe { madvise(pages, self.size, Advice::LinuxDontDump) } {
            tracing::debug!(%error, "a secret's memory would be part of a dump");
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: the whole mapping is ours alone, and no borrow of it outlives `self`.
        let bytes = unsafe { slice::from_raw_parts_mut(self.pages.as_ptr(), self.size) };
        bytes.zeroize();
        // SAFETY: nothing refers to the mapping any more.
        let unmapped = unsafe { munmap(self.pages.as_ptr().cast(), self.size) };
        if let Err(error) = unmapped {
            tracing::debug!(%error, "the cleared memory of a secret was not given back");
        }
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Locked(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_and_is_not_printed() {
        for length in [0, 1, 4095, 4096, 70_000] {
            let secret: Vec<u8> = (0..length)
                .map(|n| u8::try_from(n % 251).unwrap())
                .collect();
            let locked = Locked::new(&secret);
            assert_eq!(locked.reveal(), secret);
            assert_eq!(format!("{locked:?}"), "Locked(..)");
        }
    }
}

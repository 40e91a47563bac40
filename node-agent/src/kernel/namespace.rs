//! Network namespaces, by the numbers that the kernel programs know them by.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// The cookie of the network namespace that a socket is in (`SO_NETNS_COOKIE`, since Linux 5.14).
#[expect(
    unsafe_code,
    reason = "no safe wrapper knows this option; the call only writes into `cookie`"
)]
pub fn cookie_of(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: an open socket, and a value of exactly the length that is named.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if failed == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}

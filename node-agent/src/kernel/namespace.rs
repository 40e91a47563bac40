//! Network namespaces, by the numbers that the kernel programs know them by.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Does something in another network namespace, on a thread of its own that ends with it: what is opened there stays
/// there.
pub fn within<T: Send>(
    network: BorrowedFd<'_>,
    task: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let enter_and_do = || {
        move_into_link_name_space(network, Some(LinkNameSpaceType::Network))?;
        task()
    };
    let ended = thread::scope(|scope| scope.spawn(enter_and_do).join());
    ended.unwrap_or_else(|_| {
        Err(io::Error::other(
            "the thread in a network namespace panicked",
        ))
    })
}

/// The network namespace of a process.
pub fn network_of(pid: u32) -> io::Result<OwnedFd> {
    let file = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
    file.as_fd().try_clone_to_owned()
}

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

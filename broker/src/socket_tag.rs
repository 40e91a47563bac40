//! Asks the kernel who is at the other end of an accepted connection.

use std::os::fd::{AsRawFd, BorrowedFd};

use lanyard_node_agent_abi::tag::{SOCKET_LEVEL, SOCKET_OPTION_TAG, Tag};

/// The tag of an accepted socket; nothing when the kernel has none for it.
///
/// The cgroup program at `getsockopt` answers, with exactly [`Tag::SIZE`] bytes. Without it the option
/// does not exist (`ENOPROTOOPT`); any other length is another layout, which is no tag either.
pub(crate) fn read(socket: BorrowedFd<'_>) -> Option<Tag> {
    let mut bytes = [0_u8; Tag::SIZE];
    let mut length = libc::socklen_t::try_from(Tag::SIZE).ok()?;
    #[expect(
        unsafe_code,
        reason = "no safe wrapper takes a level and an option that are not known to it"
    )]
    // SAFETY: the descriptor is open while it is borrowed; the kernel writes at most `length` bytes, which
    // is the size of `bytes`, and every bit pattern of them is a value.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            SOCKET_LEVEL,
            SOCKET_OPTION_TAG,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (status == 0 && usize::try_from(length) == Ok(Tag::SIZE)).then(|| Tag::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, TcpListener, TcpStream},
        os::fd::AsFd,
    };

    use super::*;

    #[test]
    fn a_connection_that_no_kernel_program_tagged_has_no_tag() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(read(accepted.as_fd()), None);
    }
}

//! Who is on the other end of the socket, and what it sent.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use lanyard_protocol::frame::{FrameError, LONGEST};
use prost::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::socket_peercred,
};
use tokio::{io::AsyncReadExt as _, io::Interest, net::UnixStream};

/// The process that connected.
pub(super) struct Peer {
    pub(super) pid: u32,
    pub(super) uid: u32,
    process: OwnedFd,
}

impl Peer {
    /// Asks the kernel, which wrote it down when the connection was made.
    pub(super) fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = socket_peercred(stream)?;
        let pid =
            u32::try_from(credentials.pid.as_raw_nonzero().get()).map_err(io::Error::other)?;
        let process = peer_pidfd(stream.as_fd())?;
        Ok(Self {
            pid,
            uid: credentials.uid.as_raw(),
            process,
        })
    }

    /// Whether the process has not ended; a zombie has.
    pub(super) fn is_alive(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.process(), PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A signal, of a broker that ended, may interrupt even a poll that does not wait.
        let polled = retry_on_intr(|| poll(&mut polled, Some(&at_once)));
        matches!(polled, Ok(0))
    }

    /// A descriptor of the process itself: its number may be reused, this not.
    pub(super) fn process(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

/// `SO_PEERPIDFD` (Linux 6.5). Before it the process is opened by its number, which is its own for as long
/// as it has not ended: the check after the move into the scope would show that.
fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut fd: libc::c_int = -1;
    let mut length = libc::socklen_t::try_from(size_of_val(&fd)).map_err(io::Error::other)?;
    #[expect(
        unsafe_code,
        reason = "neither rustix nor libc has a safe call for this option"
    )]
    // SAFETY: a live socket, and a buffer of exactly the length that is passed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        #[expect(unsafe_code, reason = "the kernel hands out a bare number")]
        // SAFETY: a descriptor the kernel just made for this call, owned by nobody else.
        return Ok(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::ENOPROTOOPT) {
        return Err(error);
    }
    let credentials = socket_peercred(socket)?;
    Ok(rustix::process::pidfd_open(
        credentials.pid,
        rustix::process::PidfdFlags::empty(),
    )?)
}

/// Receives one message and the descriptor that may travel with its first byte.
pub(super) async fn receive<M: Message + Default>(
    stream: &mut UnixStream,
) -> Result<(M, Option<OwnedFd>), FrameError> {
    let mut header = [0; 4];
    let (mut filled, mut descriptor) = (0, None);
    while filled < header.len() {
        stream.readable().await?;
        let received = stream.try_io(Interest::READABLE, || {
            receive_some(stream, &mut header[filled..])
        });
        match received {
            Ok((0, _)) if filled == 0 => return Err(FrameError::Closed),
            Ok((0, _)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok((count, came)) => {
                filled += count;
                descriptor = descriptor.or(came);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_be_bytes(header) as usize;
    // Requests are short; only replies and the brokers' messages are long.
    if length > LONGEST / 16 {
        return Err(FrameError::TooLong(length));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((M::decode(body.as_slice())?, descriptor))
}

fn receive_some(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            // Others than the first are closed as they are dropped.
            descriptor = descriptors.into_iter().next().or(descriptor);
        }
    }
    Ok((received.bytes, descriptor))
}

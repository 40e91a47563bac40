//! The sockets that the node agent opened for this broker, received over the socket pair.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    net::{TcpListener, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SocketType,
    recvmsg, sockopt,
};
use thiserror::Error;

/// The byte that the descriptors travel with.
pub const HANDOVER: u8 = b'S';

/// Where a scope's broker listens, of one address family.
#[derive(Debug)]
pub struct Listeners {
    /// Connections that the kernel redirected.
    pub tcp: TcpListener,
    /// Names asked over UDP.
    pub dns: UdpSocket,
}

/// Everything the broker listens on.
#[derive(Debug)]
pub struct Handover {
    /// On 127.0.0.1.
    pub v4: Listeners,
    /// On `::1`, where the machine has IPv6.
    pub v6: Option<Listeners>,
}

/// Why the sockets were not received.
#[derive(Debug, Error)]
pub enum HandoverError {
    /// The socket pair failed.
    #[error("receive the sockets to listen on: {0}")]
    Receive(rustix::io::Errno),
    /// Another message came first, or none.
    #[error("expected the byte `S` with sockets to listen on, but got {0:?}")]
    Unexpected(Option<u8>),
    /// There were more than four descriptors.
    #[error("more descriptors than there are sockets to listen on")]
    TooMany,
    /// Not two or four descriptors came.
    #[error("expected 2 or 4 sockets to listen on, but got {0}")]
    Count(usize),
    /// A descriptor is not the socket that belongs in its place.
    #[error("the descriptor at place {0} is not the socket that belongs there")]
    Kind(usize),
    /// A socket could not be made non-blocking.
    #[error("make a socket non-blocking: {0}")]
    NonBlocking(std::io::Error),
}

/// Receives the sockets: the first thing that comes over the socket pair, which blocks until then.
pub fn receive(stream: &UnixStream) -> Result<Handover, HandoverError> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(HandoverError::Receive)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    if received.bytes != 1 || byte[0] != HANDOVER {
        return Err(HandoverError::Unexpected(
            (received.bytes == 1).then_some(byte[0]),
        ));
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(HandoverError::TooMany);
    }
    sort(sockets)
}

fn sort(sockets: Vec<OwnedFd>) -> Result<Handover, HandoverError> {
    let count = sockets.len();
    if count != 2 && count != 4 {
        return Err(HandoverError::Count(count));
    }
    let mut sockets = sockets.into_iter().enumerate();
    let mut pair = |family| -> Result<Option<Listeners>, HandoverError> {
        let (Some((place, tcp)), Some((next, dns))) = (sockets.next(), sockets.next()) else {
            return Ok(None);
        };
        check(place, &tcp, family, SocketType::STREAM)?;
        check(next, &dns, family, SocketType::DGRAM)?;
        let pair = Listeners {
            tcp: tcp.into(),
            dns: dns.into(),
        };
        let non_blocking = pair.tcp.set_nonblocking(true);
        non_blocking
            .and_then(|()| pair.dns.set_nonblocking(true))
            .map_err(HandoverError::NonBlocking)?;
        Ok(Some(pair))
    };
    Ok(Handover {
        v4: pair(AddressFamily::INET)?.ok_or(HandoverError::Count(count))?,
        v6: pair(AddressFamily::INET6)?,
    })
}

fn check(
    place: usize,
    socket: &OwnedFd,
    family: AddressFamily,
    kind: SocketType,
) -> Result<(), HandoverError> {
    let socket = socket.as_fd();
    let fits = sockopt::socket_domain(socket) == Ok(family)
        && sockopt::socket_type(socket) == Ok(kind)
        && sockopt::socket_acceptconn(socket) == Ok(kind == SocketType::STREAM);
    fits.then_some(()).ok_or(HandoverError::Kind(place))
}

#[cfg(test)]
mod tests {
    use std::{io::IoSlice, os::fd::BorrowedFd};

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    fn send(stream: &UnixStream, byte: u8, descriptors: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg(
            stream,
            &[IoSlice::new(&[byte])],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
    }

    fn listeners(host: &str) -> Listeners {
        Listeners {
            tcp: TcpListener::bind((host, 0)).unwrap(),
            dns: UdpSocket::bind((host, 0)).unwrap(),
        }
    }

    #[test]
    fn two_sockets_are_received_in_their_places() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sent = listeners("127.0.0.1");
        send(&theirs, HANDOVER, &[sent.tcp.as_fd(), sent.dns.as_fd()]);
        let got = receive(&ours).unwrap();
        assert_eq!(
            got.v4.tcp.local_addr().unwrap(),
            sent.tcp.local_addr().unwrap()
        );
        assert_eq!(
            got.v4.dns.local_addr().unwrap(),
            sent.dns.local_addr().unwrap()
        );
        assert!(got.v6.is_none());
    }

    #[test]
    fn sockets_in_wrong_places_are_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sent = listeners("127.0.0.1");
        send(&theirs, HANDOVER, &[sent.dns.as_fd(), sent.tcp.as_fd()]);
        assert!(matches!(receive(&ours), Err(HandoverError::Kind(0))));
        let (left, _right) = UnixStream::pair().unwrap();
        send(&theirs, HANDOVER, &[left.as_fd(), sent.dns.as_fd()]);
        assert!(matches!(receive(&ours), Err(HandoverError::Kind(0))));
    }

    #[test]
    fn another_number_of_sockets_or_another_byte_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let sent = listeners("127.0.0.1");
        send(&theirs, HANDOVER, &[sent.tcp.as_fd()]);
        assert!(matches!(receive(&ours), Err(HandoverError::Count(1))));
        send(&theirs, HANDOVER, &[]);
        assert!(matches!(receive(&ours), Err(HandoverError::Count(0))));
        send(&theirs, HANDOVER, &[sent.tcp.as_fd(); 5]);
        assert!(matches!(
            receive(&ours),
            Err(HandoverError::TooMany | HandoverError::Count(_))
        ));
        send(&theirs, b'X', &[sent.tcp.as_fd(), sent.dns.as_fd()]);
        assert!(matches!(
            receive(&ours),
            Err(HandoverError::Unexpected(Some(b'X')))
        ));
        drop(theirs);
        assert!(matches!(
            receive(&ours),
            Err(HandoverError::Unexpected(None))
        ));
    }
}

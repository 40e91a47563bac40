//! Ending connections whose grant has ended: `SOCK_DESTROY` of `sock_diag(7)`.
//!
//! The kernel drops their packets from the deadline on; this gives the program its error at once instead
//! of a silence. Needs `CONFIG_INET_DIAG_DESTROY`; without it the socket's own timeouts end it.

use std::{io, os::fd::OwnedFd};

use lanyard_node_agent_abi::event::{FlowEvent, flow as kind};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

/// Destroys the connecting socket of a flow, in the network namespace of this thread. `Ok(false)` when it is
/// gone already.
pub fn destroy(flow: &FlowEvent) -> io::Result<bool> {
    let socket = open()?;
    let identity = if flow.kind == kind::CONNECTED {
        // The kernel told of it before it had an address.
        match find(&socket, flow)? {
            Some(identity) => identity,
            None => return Ok(false),
        }
    } else {
        Identity::of(flow)
    };
    let protocol = if flow.kind == kind::CONNECTED {
        UDP
    } else {
        TCP
    };
    let message = message(SOCK_DESTROY, REQUEST_ACK, protocol, &identity);
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 512];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match error_of(&answer[..length])? {
        0 => Ok(true),
        errno if errno == Errno::NOENT.raw_os_error() => Ok(false),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// A socket to ask about sockets.
pub(super) fn open() -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    Ok(socket)
}

pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_ACK`
const REQUEST_ACK: u16 = 0x1 | 0x4;
/// `NLM_F_REQUEST | NLM_F_DUMP`
pub(super) const REQUEST_DUMP: u16 = 0x1 | 0x300;
/// `AF_INET` and `AF_INET6`
pub(super) const FAMILIES: [u8; 2] = [2, 10];

/// `inet_diag_sockid` (`include/uapi/linux/inet_diag.h`), with the family in front.
#[derive(Clone)]
pub(super) struct Identity {
    family: u8,
    bytes: [u8; 48],
}

impl Identity {
    fn of(flow: &FlowEvent) -> Self {
        let v6 = flow.family == 10;
        let mut bytes = [0; 48];
        bytes[0..2].copy_from_slice(&flow.local_port.to_ne_bytes());
        bytes[2..4].copy_from_slice(&flow.remote_port.to_ne_bytes());
        for (at, address) in [(4, &flow.local), (20, &flow.remote)] {
            if v6 {
                bytes[at..at + 16].copy_from_slice(address);
            } else {
                bytes[at..at + 4].copy_from_slice(&address[12..]);
            }
        }
        // Any interface; and the cookie, low half first: the very socket, and none that took its ports since.
        bytes[40..48].copy_from_slice(&flow.cookie.to_ne_bytes());
        let family = if v6 { 10 } else { 2 };
        Self { family, bytes }
    }

    /// The identity of no socket in particular, as a listing of all takes it.
    pub(super) const fn any(family: u8) -> Self {
        let bytes = [0; 48];
        Self { family, bytes }
    }

    fn cookie(&self) -> &[u8] {
        &self.bytes[40..48]
    }

    pub(super) const fn family(&self) -> u8 {
        self.family
    }

    /// The port there, in network order.
    pub(super) fn port(&self, at: usize) -> u16 {
        u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    /// The address there: IPv6, or IPv4 as `::ffff:a.b.c.d`.
    pub(super) fn address(&self, at: usize) -> [u8; 16] {
        let mut address = [0; 16];
        if self.family == 10 {
            address.copy_from_slice(&self.bytes[at..at + 16]);
        } else {
            address[10..12].fill(0xff);
            address[12..].copy_from_slice(&self.bytes[at..at + 4]);
        }
        address
    }
}

/// The UDP socket with the flow's cookie.
fn find(socket: &OwnedFd, flow: &FlowEvent) -> io::Result<Option<Identity>> {
    let cookie = flow.cookie.to_ne_bytes();
    let mut found = None;
    for family in FAMILIES {
        let any = Identity::any(family);
        let all = message(SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, UDP, &any);
        dump(socket, &all, |listed| {
            if listed.identity.cookie() == cookie {
                found = Some(listed.identity.clone());
            }
        })?;
    }
    Ok(found)
}

/// A socket as it is listed.
pub(super) struct Socket<'a> {
    pub(super) identity: Identity,
    pub(super) state: u8,
    /// What was asked for beside it.
    pub(super) attributes: &'a [u8],
}

/// Asks for a listing and shows each socket of it.
pub(super) fn dump(
    socket: &OwnedFd,
    request: &[u8],
    mut show: impl FnMut(&Socket<'_>),
) -> io::Result<()> {
    let mut answer = vec![0; 64 * 1024];
    send(socket, request, SendFlags::empty())?;
    loop {
        let (_, length) = recv(socket, &mut answer[..], RecvFlags::empty())?;
        if read(&answer[..length], &mut show)? {
            return Ok(());
        }
    }
}

/// Shows the sockets in a part of a listing, and says whether it is the last part.
fn read(mut part: &[u8], show: &mut impl FnMut(&Socket<'_>)) -> io::Result<bool> {
    const HEADER: usize = 16;
    const NLMSG_ERROR: u16 = 2;
    /// `inet_diag_msg`: family, state, timer and retransmissions, the identity, and five words more.
    const MESSAGE: usize = 4 + 48 + 20;
    while part.len() >= HEADER {
        let length = u32::from_ne_bytes([part[0], part[1], part[2], part[3]]) as usize;
        let kind = u16::from_ne_bytes([part[4], part[5]]);
        if kind == NLMSG_ERROR {
            return Err(io::Error::from_raw_os_error(error_of(part)?));
        }
        if kind != SOCK_DIAG_BY_FAMILY || length < HEADER || length > part.len() {
            return Ok(true); // NLMSG_DONE, or what is no message
        }
        let message = &part[HEADER..length];
        if let Some((head, attributes)) = message.split_at_checked(MESSAGE)
            && let Ok(bytes) = head[4..52].try_into()
        {
            let identity = Identity {
                family: head[0],
                bytes,
            };
            show(&Socket {
                identity,
                state: head[1],
                attributes,
            });
        }
        part = part.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Ok(false)
}

/// `nlmsghdr` and `inet_diag_req_v2`, in the machine's own byte order but for addresses and ports.
pub(super) fn message(kind: u16, flags: u16, protocol: u8, identity: &Identity) -> Vec<u8> {
    const LENGTH: u32 = 16 + 56;
    const ALL_STATES: u32 = u32::MAX;
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend(LENGTH.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]); // sequence and port: one request at a time
    message.extend([identity.family, protocol, 0, 0]);
    message.extend(ALL_STATES.to_ne_bytes());
    message.extend(identity.bytes);
    message
}

/// The errno of an `nlmsgerr`, 0 for success.
fn error_of(answer: &[u8]) -> io::Result<i32> {
    const NLMSG_ERROR: u16 = 2;
    let cut = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "sock_diag answered with something else",
        )
    };
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    let error = answer
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, error) {
        (Some(NLMSG_ERROR), Some(error)) => Ok(-error),
        _ => Err(cut()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_length_it_says() {
        for family in [2, 10] {
            let flow = FlowEvent {
                family,
                ..FlowEvent::ZERO
            };
            let message = message(SOCK_DESTROY, REQUEST_ACK, TCP, &Identity::of(&flow));
            assert_eq!(message.len(), 72);
        }
    }

    #[test]
    fn an_answer_of_another_kind_is_an_error() {
        assert!(error_of(&[0; 20]).is_err());
        assert!(error_of(&[]).is_err());
        let mut answer = [0; 20];
        answer[4] = 2;
        assert_eq!(error_of(&answer).unwrap(), 0);
    }
}

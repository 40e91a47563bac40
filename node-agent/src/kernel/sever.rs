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
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
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

const TCP: u8 = 6;
const UDP: u8 = 17;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_ACK`
const REQUEST_ACK: u16 = 0x1 | 0x4;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const REQUEST_DUMP: u16 = 0x1 | 0x300;
/// `AF_INET` and `AF_INET6`
const FAMILIES: [u8; 2] = [2, 10];

/// `inet_diag_sockid` (`include/uapi/linux/inet_diag.h`), with the family in front.
struct Identity {
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
    const fn any(family: u8) -> Self {
        let bytes = [0; 48];
        Self { family, bytes }
    }

    fn cookie(&self) -> &[u8] {
        &self.bytes[40..48]
    }
}

/// The UDP socket with the flow's cookie.
fn find(socket: &OwnedFd, flow: &FlowEvent) -> io::Result<Option<Identity>> {
    let mut answer = vec![0; 64 * 1024];
    for family in FAMILIES {
        let all = message(
            SOCK_DIAG_BY_FAMILY,
            REQUEST_DUMP,
            UDP,
            &Identity::any(family),
        );
        send(socket, &all, SendFlags::empty())?;
        let mut found = None;
        loop {
            let (_, length) = recv(socket, &mut answer[..], RecvFlags::empty())?;
            let (listed, is_last) = listed(&answer[..length]);
            let is_it = |known: &Identity| known.cookie() == flow.cookie.to_ne_bytes();
            found = found.or_else(|| listed.into_iter().find(is_it));
            if is_last {
                break;
            }
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The sockets in a part of a listing, and whether it is the last part.
fn listed(mut part: &[u8]) -> (Vec<Identity>, bool) {
    const HEADER: usize = 16;
    let mut sockets = Vec::new();
    while part.len() >= HEADER {
        let length = u32::from_ne_bytes([part[0], part[1], part[2], part[3]]) as usize;
        let kind = u16::from_ne_bytes([part[4], part[5]]);
        if kind != SOCK_DIAG_BY_FAMILY || length < HEADER || length > part.len() {
            return (sockets, true); // NLMSG_DONE, an error, or what is no message
        }
        // `inet_diag_msg`: family, state, timer and retransmissions, then the identity.
        if let Some(bytes) = part[..length].get(HEADER + 4..HEADER + 52)
            && let Ok(bytes) = bytes.try_into()
        {
            let family = part[HEADER];
            sockets.push(Identity { family, bytes });
        }
        part = part.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    (sockets, false)
}

/// `nlmsghdr` and `inet_diag_req_v2`, in the machine's own byte order but for addresses and ports.
fn message(kind: u16, flags: u16, protocol: u8, identity: &Identity) -> Vec<u8> {
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

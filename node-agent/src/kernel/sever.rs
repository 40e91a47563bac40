//! Ending connections whose grant has ended: `SOCK_DESTROY` of `sock_diag(7)`.
//!
//! The kernel drops their packets from the deadline on; this gives the program its error at once instead
//! of a silence. Needs `CONFIG_INET_DIAG_DESTROY`; without it the socket's own timeouts end it.

use std::io;

use lanyard_node_agent_abi::event::FlowEvent;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    },
};

/// Destroys the connecting socket of an established connection, in the network namespace of this thread.
/// `Ok(false)` when it is gone already.
pub fn destroy(flow: &FlowEvent) -> io::Result<bool> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    send(&socket, &request(flow), SendFlags::empty())?;
    let mut answer = [0; 512];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match error_of(&answer[..length])? {
        0 => Ok(true),
        errno if errno == Errno::NOENT.raw_os_error() => Ok(false),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// `nlmsghdr` and `inet_diag_req_v2` (`include/uapi/linux/inet_diag.h`), in the machine's own byte order but
/// for addresses and ports.
fn request(flow: &FlowEvent) -> Vec<u8> {
    const SOCK_DESTROY: u16 = 21;
    const REQUEST_ACK: u16 = 0x1 | 0x4;
    const LENGTH: u32 = 16 + 56;
    const TCP: u8 = 6;
    const ALL_STATES: u32 = u32::MAX;
    let v6 = flow.family == 10;
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.extend(LENGTH.to_ne_bytes());
    message.extend(SOCK_DESTROY.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]); // sequence and port: one request, one answer
    message.extend([if v6 { 10 } else { 2 }, TCP, 0, 0]);
    message.extend(ALL_STATES.to_ne_bytes());
    message.extend(flow.local_port.to_ne_bytes());
    message.extend(flow.remote_port.to_ne_bytes());
    for address in [&flow.local, &flow.remote] {
        if v6 {
            message.extend(address);
        } else {
            message.extend(&address[12..]);
            message.extend([0; 12]);
        }
    }
    message.extend([0; 4]); // any interface
    // The cookie, low half first: the very socket, and none that took its ports since.
    message.extend(flow.cookie.to_ne_bytes());
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
            assert_eq!(request(&flow).len(), 72);
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

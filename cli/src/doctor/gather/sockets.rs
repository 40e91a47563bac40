//! Whether the kernel can destroy sockets of others (`CONFIG_INET_DIAG_DESTROY`), by asking it to destroy
//! one that nobody has.

use std::io;

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, netlink, recv, send, socket_with, sockopt},
};

/// `SOCK_DESTROY`, `include/uapi/linux/sock_diag.h`.
const SOCK_DESTROY: u16 = 21;
/// `NLM_F_REQUEST | NLM_F_ACK`, include/uapi/linux/netlink.h.
const FLAGS: u16 = 1 | 4;
/// `struct nlmsghdr`, then `struct inet_diag_req_v2`.
const LENGTH: usize = 16 + 56;

/// Nothing when only root may ask.
pub(super) fn can_be_destroyed() -> Option<bool> {
    match destroy_nobodys() {
        Err(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT | Errno::INVAL) => Some(false),
        // There is no such socket: it was looked for.
        Ok(()) | Err(Errno::NOENT) => Some(true),
        Err(_) => None,
    }
}

fn destroy_nobodys() -> Result<(), Errno> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let patience = Some(std::time::Duration::from_secs(1));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, patience)?;
    let _sent = send(&socket, &request(), rustix::net::SendFlags::empty())?;
    let mut reply = [0_u8; 512];
    let (length, _) = recv(&socket, &mut reply, rustix::net::RecvFlags::empty())?;
    answer(&reply[..length])
}

/// TCP from port 0 of 127.0.0.1 to itself, with a cookie that no socket has.
fn request() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..4].copy_from_slice(&72_u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DESTROY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&FLAGS.to_ne_bytes());
    // AF_INET and IPPROTO_TCP, then the mask of states.
    bytes[16] = 2;
    bytes[17] = 6;
    bytes[20..24].fill(0xff);
    // Source and destination address, 16 bytes each, behind two ports.
    bytes[28..32].copy_from_slice(&[127, 0, 0, 1]);
    bytes[44..48].copy_from_slice(&[127, 0, 0, 1]);
    bytes[64..].fill(0xfe);
    bytes
}

/// `struct nlmsgerr` behind the header: a negative number of an error, or 0.
fn answer(reply: &[u8]) -> Result<(), Errno> {
    let number = reply.get(16..20).and_then(|bytes| bytes.try_into().ok());
    match number.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(error) => {
            let error = io::Error::from_raw_os_error(error.wrapping_neg());
            Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
        }
        None => Err(Errno::IO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: i32) -> Result<(), Errno> {
        let mut reply = [0; 36];
        reply[16..20].copy_from_slice(&error.to_ne_bytes());
        answer(&reply)
    }

    #[test]
    fn an_answer_is_the_number_of_an_error() {
        assert_eq!(told(0), Ok(()));
        assert_eq!(told(-2), Err(Errno::NOENT));
        assert_eq!(told(-95), Err(Errno::OPNOTSUPP));
        assert_eq!(answer(&[0; 3]), Err(Errno::IO));
    }
}

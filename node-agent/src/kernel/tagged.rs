//! The TCP connections that the kernel knows of, with their tags: for a node agent that was not there when they were
//! made, or that could not be told.
//!
//! `sock_diag(7)` lists sockets together with what programs keep in their storage (`INET_DIAG_REQ_SK_BPF_STORAGES`,
//! Linux 5.7). For UDP it leaves that out (`net/ipv4/inet_diag.c`): see [`super::datagrams`].

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use lanyard_node_agent_abi::{
    event::{FlowEvent, flow as kind},
    grant::carrier,
    tag::{Tag, side},
};

use super::sever::{self, FAMILIES, Identity, REQUEST_DUMP, SOCK_DIAG_BY_FAMILY, Socket, TCP};

/// Every TCP connection of a process in a scope, in the network namespace of this thread. `tags` is the map of tags.
pub fn connections(tags: BorrowedFd<'_>) -> io::Result<Vec<FlowEvent>> {
    let socket = sever::open()?;
    let mut flows = Vec::new();
    for family in FAMILIES {
        let request = request(family, tags);
        sever::dump(&socket, &request, |socket| flows.extend(flow_of(socket)))?;
    }
    Ok(flows)
}

/// A listing that comes with the values of one map.
fn request(family: u8, tags: BorrowedFd<'_>) -> Vec<u8> {
    /// `INET_DIAG_REQ_SK_BPF_STORAGES` (`include/uapi/linux/inet_diag.h`)
    const STORAGES: u16 = 2;
    /// `SK_DIAG_BPF_STORAGE_REQ_MAP_FD` (`include/uapi/linux/sock_diag.h`)
    const MAP: u16 = 1;
    let any = Identity::any(family);
    let mut request = sever::message(SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, TCP, &any);
    for (length, kind) in [(12_u16, STORAGES), (8, MAP)] {
        request.extend(length.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
    }
    request.extend(tags.as_raw_fd().to_ne_bytes());
    let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
    request[..4].copy_from_slice(&length.to_ne_bytes());
    request
}

/// What the kernel would have told of a connected socket of a scope.
fn flow_of(socket: &Socket<'_>) -> Option<FlowEvent> {
    let tag = tag_of(socket.attributes)?;
    let goes_somewhere = match tag.carrier {
        carrier::DIRECT | carrier::BROKER => tag.slot != 0,
        carrier::HOLD => true,
        _ => false,
    };
    if tag.side != side::CLIENT || !goes_somewhere || !is_connected(socket.state) {
        return None;
    }
    let identity = &socket.identity;
    let (local, remote) = (identity.address(4), identity.address(20));
    Some(FlowEvent {
        exec_id: tag.exec_id,
        cookie: tag.cookie,
        at: 0,
        tgid: tag.tgid,
        scope: tag.scope,
        slot: tag.slot,
        carrier: u32::from(tag.carrier),
        address: tag.address,
        local,
        remote,
        port: tag.port,
        local_port: identity.port(0),
        remote_port: identity.port(2),
        family: u16::from(identity.family()),
        kind: kind::ESTABLISHED,
        protocol: u32::from(TCP),
    })
}

/// From the handshake's end to the last acknowledgement (`include/net/tcp_states.h`).
const fn is_connected(state: u8) -> bool {
    const ESTABLISHED: u8 = 1;
    const FIN_WAIT1: u8 = 4;
    const FIN_WAIT2: u8 = 5;
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    const CLOSING: u8 = 11;
    matches!(
        state,
        ESTABLISHED | FIN_WAIT1 | FIN_WAIT2 | CLOSE_WAIT | LAST_ACK | CLOSING
    )
}

/// The tag among the attributes of a listed socket.
fn tag_of(attributes: &[u8]) -> Option<Tag> {
    /// `INET_DIAG_SK_BPF_STORAGES`
    const STORAGES: u16 = 20;
    /// `SK_DIAG_BPF_STORAGE`
    const STORAGE: u16 = 1;
    /// `SK_DIAG_BPF_STORAGE_MAP_VALUE`
    const VALUE: u16 = 3;
    let value = attribute(attributes, STORAGES)
        .and_then(|storages| attribute(storages, STORAGE))
        .and_then(|storage| attribute(storage, VALUE))?;
    let bytes = value.first_chunk()?;
    Some(Tag::from_bytes(bytes))
}

/// The content of the first attribute of that kind (`nlattr`, `include/uapi/linux/netlink.h`).
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const HEADER: usize = 4;
    /// `NLA_TYPE_MASK`: without the marks for nested content and byte order.
    const KIND: u16 = 0x3fff;
    while attributes.len() >= HEADER {
        let length = usize::from(u16::from_ne_bytes([attributes[0], attributes[1]]));
        let kind = u16::from_ne_bytes([attributes[2], attributes[3]]) & KIND;
        let content = attributes.get(HEADER..length)?;
        if kind == wanted {
            return Some(content);
        }
        attributes = attributes
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kind: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + content.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_tag_is_found_among_other_attributes() {
        let mut value = vec![0_u8; Tag::SIZE];
        value[36] = 7;
        let storage = [put(2, &[1, 2, 3, 4]), put(3, &value)].concat();
        let storages = put(0x8014, &put(0x8001, &storage));
        let all = [put(8, &[0]), put(15, &[1, 2, 3, 4]), storages].concat();
        assert_eq!(tag_of(&all).unwrap().slot, 7);
    }

    #[test]
    fn attributes_that_are_cut_or_lie_are_no_tag_and_no_panic() {
        let value = vec![0_u8; Tag::SIZE];
        let whole = put(20, &put(1, &put(3, &value)));
        for length in 0..whole.len() {
            assert!(tag_of(&whole[..length]).is_none(), "{length}");
        }
        assert!(tag_of(&put(20, &put(1, &put(3, &value[1..])))).is_none());
        assert!(attribute(&[0, 0, 20, 0, 0, 0, 0, 0], 20).is_none());
        assert!(attribute(&[0xff; 64], 20).is_none());
    }
}

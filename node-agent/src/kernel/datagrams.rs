//! The UDP sockets with a peer that processes of scopes have: the kernel lists them without their tags, so that each is
//! asked for its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use lanyard_node_agent_abi::{
    event::{FlowEvent, flow},
    grant::carrier,
    tag::{Tag, side},
};
use rustix::{
    net::{ipproto, sockopt::socket_protocol},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::Maps;

/// The most descriptors of one scope that are looked at: it hides nothing of another. What is not found ends with its
/// grant all the same: its datagrams are dropped, and only a program that waits for an answer waits longer.
const MOST: usize = 16_384;

/// Every UDP socket that a process of a scope connected to where it may go.
pub fn connected(maps: &Maps) -> Vec<FlowEvent> {
    let mut looks: BTreeMap<u32, Looks> = BTreeMap::new();
    let mut flows = Vec::new();
    for (tgid, process) in maps.processes() {
        let looks = looks.entry(process.scope).or_default();
        // One that has ended meanwhile has no sockets.
        if let Ok(tags) = tags_of(tgid, looks, maps) {
            flows.extend(tags.iter().filter_map(flow_of));
        }
    }
    flows
}

/// What of a scope was looked at.
#[derive(Default)]
struct Looks {
    count: usize,
    /// Sockets, by what the kernel calls them: processes share them.
    seen: BTreeSet<OsString>,
}

/// The tags of the UDP sockets of a process that no other of its scope showed before.
fn tags_of(tgid: u32, looks: &mut Looks, maps: &Maps) -> io::Result<Vec<Tag>> {
    let pid = Pid::from_raw(tgid.cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let folder = format!("/proc/{tgid}/fd");
    let mut tags = Vec::new();
    for entry in fs::read_dir(folder)? {
        if looks.count == MOST {
            break;
        }
        looks.count += 1;
        let path = entry?.path();
        let Ok(opened) = fs::read_link(&path) else {
            continue; // closed since
        };
        let is_socket = opened.to_string_lossy().starts_with("socket:");
        if is_socket && looks.seen.insert(opened.into_os_string()) {
            // Asked and closed one by one: a process may have more of them than this one may open.
            let socket = datagram_socket(process.as_fd(), &path);
            tags.extend(socket.and_then(|socket| maps.tag_of(socket.as_fd())));
        }
    }
    Ok(tags)
}

fn datagram_socket(process: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
    let number = path.file_name()?.to_str()?.parse().ok()?;
    let socket = pidfd_getfd(process, number, PidfdGetfdFlags::empty()).ok()?;
    let is_udp = socket_protocol(&socket) == Ok(Some(ipproto::UDP));
    is_udp.then_some(socket)
}

/// What the kernel would have told of the socket with that tag.
fn flow_of(tag: &Tag) -> Option<FlowEvent> {
    let goes_somewhere = tag.carrier == carrier::DIRECT && tag.slot != 0;
    (tag.side == side::CLIENT && goes_somewhere).then_some(FlowEvent {
        exec_id: tag.exec_id,
        cookie: tag.cookie,
        tgid: tag.tgid,
        scope: tag.scope,
        slot: tag.slot,
        carrier: u32::from(tag.carrier),
        address: tag.address,
        port: tag.port,
        kind: flow::CONNECTED,
        protocol: u32::from(tag.protocol),
        ..FlowEvent::ZERO
    })
}

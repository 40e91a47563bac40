//! The UDP sockets with a peer that processes of scopes have: the kernel lists them without their tags, so that each is
//! asked for its own.

use std::{
    collections::BTreeSet,
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

/// The most descriptors that are looked at. What is not found ends with its grant all the same: its datagrams are
/// dropped, and only a program that waits for an answer waits longer.
const MOST: usize = 65_536;

/// Every UDP socket that a process of a scope connected to where it may go.
pub fn connected(maps: &Maps) -> Vec<FlowEvent> {
    let mut seen = BTreeSet::new();
    let mut flows = Vec::new();
    let mut left = MOST;
    for tgid in maps.processes().into_keys() {
        // One that has ended meanwhile has no sockets.
        let Ok(sockets) = sockets_of(tgid, &mut left, &mut seen) else {
            continue;
        };
        let tags = sockets
            .iter()
            .filter_map(|socket| maps.tag_of(socket.as_fd()));
        flows.extend(tags.filter_map(|tag| flow_of(&tag)));
    }
    flows
}

/// The UDP sockets of a process that no other process showed before: `seen` has them by what the kernel calls them.
fn sockets_of(
    tgid: u32,
    left: &mut usize,
    seen: &mut BTreeSet<OsString>,
) -> io::Result<Vec<OwnedFd>> {
    let pid = Pid::from_raw(tgid.cast_signed()).ok_or(io::ErrorKind::NotFound)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let folder = format!("/proc/{tgid}/fd");
    let mut sockets = Vec::new();
    for entry in fs::read_dir(folder)? {
        let Some(rest) = left.checked_sub(1) else {
            break;
        };
        *left = rest;
        let path = entry?.path();
        let Ok(opened) = fs::read_link(&path) else {
            continue; // closed since
        };
        let is_socket = opened.to_string_lossy().starts_with("socket:");
        if is_socket && seen.insert(opened.into_os_string()) {
            sockets.extend(datagram_socket(process.as_fd(), &path));
        }
    }
    Ok(sockets)
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

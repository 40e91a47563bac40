//! Established connections: the tag goes to the socket that the broker accepts, the node agent learns both
//! ends, and the socket gets timeouts that end it even when nobody else is alive to do so.

use core::{ffi::c_void, ptr::read_volatile};

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
        BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, bpf_sock_ops,
    },
    helpers::{
        bpf_get_netns_cookie,
        generated::{bpf_setsockopt, bpf_sock_ops_cb_flags_set},
    },
    macros::sock_ops,
    programs::SockOpsContext,
};
use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    event::{FlowEvent, flow},
    grant::carrier,
    process::quota,
    tag::{Tag, side},
};

use crate::{
    connect::{bytes, is_mapped, mapped_words},
    maps::{Ends, FLOWS, HANDOVER},
    refusal::{count, now},
    share::{self, Share},
    socket_storage::{set_tag, tag_of},
};

/// TCP events of every socket below the attach root.
#[sock_ops]
pub(crate) fn tcp_events(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => connected(ctx.ops),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => accepted(ctx.ops),
        BPF_SOCK_OPS_STATE_CB => changed(ctx.ops),
        _ => {}
    }
    1
}

#[inline(always)]
fn connected(ops: *mut bpf_sock_ops) {
    let Some(tag) = tag_of(socket(ops)) else {
        return;
    };
    if tag.side != side::CLIENT {
        return;
    }
    match tag.carrier {
        carrier::DIRECT | carrier::BROKER | carrier::HOLD | carrier::RESOLVER => {}
        _ => return,
    }
    let Some(view) = View::of(ops) else { return };
    end_without_help(ops);
    // SAFETY: the context of this run.
    unsafe { bpf_sock_ops_cb_flags_set(ops, BPF_SOCK_OPS_STATE_CB_FLAG as i32) };
    if tag.carrier != carrier::DIRECT {
        hand_over(tag, &view, namespace(ops));
    }
    if tag.carrier != carrier::RESOLVER {
        tell(tag, &view, flow::ESTABLISHED);
    }
}

/// Leaves the tag for the broker's end. Without it the broker closes the connection.
#[inline(always)]
fn hand_over(tag: &Tag, view: &View, namespace: u64) {
    if !share::take(tag.scope, Share::Handovers, quota::HANDOVERS) {
        count(Cause::QuotaUsedUp as u32);
        return;
    }
    let copy = Tag {
        side: side::BROKER,
        ..*tag
    };
    if HANDOVER
        .insert(view.ends_of_client(namespace), copy, 0)
        .is_err()
    {
        count(Cause::MapFull as u32);
        share::give_back(tag.scope, Share::Handovers);
    }
}

/// The end of a connection from a scope. What the broker never accepted does not stay for whoever gets the
/// same ports next.
#[inline(always)]
fn changed(ops: *mut bpf_sock_ops) {
    // SAFETY: the context of this run; the new state is the second argument.
    let state = unsafe { read_volatile(&raw const (*ops).__bindgen_anon_1.args[1]) };
    if state != BPF_TCP_CLOSE {
        return;
    }
    let Some(tag) = tag_of(socket(ops)) else {
        return;
    };
    if tag.side != side::CLIENT {
        return;
    }
    let Some(view) = View::of(ops) else { return };
    if tag.carrier != carrier::DIRECT
        && HANDOVER.remove(view.ends_of_client(namespace(ops))).is_ok()
    {
        share::give_back(tag.scope, Share::Handovers);
    }
    if tag.carrier != carrier::RESOLVER {
        tell(tag, &view, flow::CLOSED);
    }
}

/// Tells of a UDP socket that was connected to where it may go.
#[inline(always)]
pub(crate) fn tell_connected(socket: *mut c_void) {
    const NONE: View = View {
        local: [0; 4],
        remote: [0; 4],
        local_port: 0,
        remote_port: 0,
        family: 0,
    };
    if let Some(tag) = tag_of(socket) {
        tell(tag, &NONE, flow::CONNECTED);
    }
}

#[inline(always)]
fn accepted(ops: *mut bpf_sock_ops) {
    let Some(view) = View::of(ops) else { return };
    let ends = Ends {
        namespace: namespace(ops),
        from: view.remote,
        to: view.local,
        from_port: view.remote_port,
        to_port: view.local_port,
    };
    // SAFETY: copied at once; the connecting side wrote it before this side could be established.
    let Some(tag) = (unsafe { HANDOVER.get(ends) }).copied() else {
        return;
    };
    if !set_tag(socket(ops), &tag) {
        count(Cause::MapFull as u32);
    }
    if HANDOVER.remove(ends).is_ok() {
        share::give_back(tag.scope, Share::Handovers);
    }
}

/// What a socket sees: addresses as words of IPv6 or v4-mapped, ports in host order.
struct View {
    local: [u32; 4],
    remote: [u32; 4],
    local_port: u32,
    remote_port: u32,
    family: u32,
}

impl View {
    /// The key of a connection, as its client sees it.
    #[inline(always)]
    fn ends_of_client(&self, namespace: u64) -> Ends {
        Ends {
            namespace,
            from: self.local,
            to: self.remote,
            from_port: self.local_port,
            to_port: self.remote_port,
        }
    }

    #[inline(always)]
    fn of(ops: *mut bpf_sock_ops) -> Option<Self> {
        const INET: u32 = 2;
        const INET6: u32 = 10;
        macro_rules! member {
            ($($member:tt)+) => {
                // SAFETY: the context of this run. Volatile, and all before the first branch, for the
                // verifier wants each member read at its own offset of the context.
                unsafe { read_volatile(&raw const (*ops).$($member)+) }
            };
        }
        let (family, local_port, remote_port) =
            (member!(family), member!(local_port), member!(remote_port));
        let (local4, remote4) = (member!(local_ip4), member!(remote_ip4));
        let local6 = [
            member!(local_ip6[0]),
            member!(local_ip6[1]),
            member!(local_ip6[2]),
            member!(local_ip6[3]),
        ];
        let remote6 = [
            member!(remote_ip6[0]),
            member!(remote_ip6[1]),
            member!(remote_ip6[2]),
            member!(remote_ip6[3]),
        ];
        let (local, remote) = if family == INET || (family == INET6 && is_mapped(&remote6)) {
            (mapped_words(local4), mapped_words(remote4))
        } else if family == INET6 {
            (local6, remote6)
        } else {
            return None;
        };
        Some(Self {
            local,
            remote,
            local_port,
            remote_port: u32::from_be(remote_port),
            family,
        })
    }
}

/// When packets stop at the deadline and the node agent is dead, these end the connection after a while. The
/// user timeout also ends a connection whose peer stops reading (tcp(7)), so that it cannot be short.
#[inline(always)]
fn end_without_help(ops: *mut bpf_sock_ops) {
    const SOL_SOCKET: i32 = 1;
    const SO_KEEPALIVE: i32 = 9;
    const SOL_TCP: i32 = 6;
    const TCP_KEEPIDLE: i32 = 4;
    const TCP_KEEPINTVL: i32 = 5;
    const TCP_KEEPCNT: i32 = 6;
    const TCP_USER_TIMEOUT: i32 = 18;
    for (level, option, value) in [
        (SOL_TCP, TCP_USER_TIMEOUT, 300_000_u32),
        (SOL_TCP, TCP_KEEPIDLE, 5),
        (SOL_TCP, TCP_KEEPINTVL, 2),
        (SOL_TCP, TCP_KEEPCNT, 3),
        (SOL_SOCKET, SO_KEEPALIVE, 1),
    ] {
        let mut value = value;
        // SAFETY: the context of this run, and a value of exactly the length that is named.
        let _ = unsafe { bpf_setsockopt(ops.cast(), level, option, (&raw mut value).cast(), 4) };
    }
}

#[inline(always)]
fn tell(tag: &Tag, view: &View, kind: u32) {
    let Some(mut entry) = FLOWS.reserve::<FlowEvent>(0) else {
        count(lost::FLOWS);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation has room for exactly this type, which has no padding, and every field is set.
    unsafe {
        (*event).exec_id = tag.exec_id;
        (*event).cookie = tag.cookie;
        (*event).at = now();
        (*event).tgid = tag.tgid;
        (*event).scope = tag.scope;
        (*event).slot = tag.slot;
        (*event).carrier = u32::from(tag.carrier);
        (*event).address = tag.address;
        (*event).local = bytes(&view.local);
        (*event).remote = bytes(&view.remote);
        (*event).port = tag.port;
        (*event).local_port = (view.local_port as u16).to_be();
        (*event).remote_port = (view.remote_port as u16).to_be();
        (*event).family = view.family as u16;
        (*event).kind = kind;
        (*event).protocol = u32::from(tag.protocol);
    }
    entry.submit(0);
}

#[inline(always)]
fn namespace(ops: *mut bpf_sock_ops) -> u64 {
    // SAFETY: the context of this run.
    unsafe { bpf_get_netns_cookie(ops.cast()) }
}

#[inline(always)]
fn socket(ops: *mut bpf_sock_ops) -> *mut c_void {
    // SAFETY: the context of this run; the member is a socket or null.
    unsafe { (*ops).__bindgen_anon_2.sk.cast() }
}

//! `socket(2)`: TCP and UDP only, and each with a tag from birth, so that a packet without leave is known.

use aya_ebpf::{
    bindings::bpf_sock, helpers::generated::bpf_set_retval, macros::cgroup_sock,
    programs::SockContext,
};
use lanyard_node_agent_abi::{cause::Cause, grant::carrier};

use crate::{
    connect::{ALLOW, REFUSE},
    refusal::report_attempt,
    route::{Attempt, TCP, UDP, untied_tag},
    socket_storage::set_tag,
    subject,
};

/// The kernel asks here for IPv4 and IPv6 sockets only.
#[cgroup_sock(sock_create)]
pub(crate) fn socket_create(ctx: SockContext) -> i32 {
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    let protocol = kind(ctx.sock);
    let cause = if protocol == 0 {
        Cause::SocketKind
    } else {
        let mut tag = untied_tag(
            &subject,
            &Attempt {
                protocol,
                ..Attempt::NOWHERE
            },
        );
        if subject.is_observed() {
            tag.carrier = carrier::OBSERVED;
        }
        if set_tag(ctx.sock.cast(), &tag) {
            return ALLOW;
        }
        Cause::MapFull
    };
    report_attempt(&subject, &Attempt::NOWHERE, cause);
    if subject.is_observed() {
        return ALLOW;
    }
    // SAFETY: no pointer. Programs that try MPTCP, SCTP or UDP-Lite first go on to TCP or UDP after this.
    unsafe { bpf_set_retval(-EPROTONOSUPPORT) };
    REFUSE
}

const EPROTONOSUPPORT: i32 = 93;

/// [`TCP`], [`UDP`], or 0 for what nothing in a scope may have: raw sockets, UDP-Lite, ICMP datagrams,
/// SCTP, and MPTCP, whose later subflows the kernel opens by itself.
#[inline(always)]
fn kind(socket: *mut bpf_sock) -> u8 {
    const STREAM: u32 = 1;
    const DATAGRAM: u32 = 2;
    // SAFETY: the context of this run.
    match unsafe { ((*socket).type_, (*socket).protocol) } {
        (STREAM, 6) => TCP,
        (DATAGRAM, 17) => UDP,
        _ => 0,
    }
}

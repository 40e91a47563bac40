//! `setsockopt(2)`: options that would lead packets, or the time they are sent, around the other programs.

use aya_ebpf::{macros::cgroup_sockopt, programs::SockoptContext};
use lanyard_node_agent_abi::cause::Cause;

use crate::{
    connect::{ALLOW, REFUSE},
    refusal::report_attempt,
    route::Attempt,
    subject,
};

/// The kernel answers EPERM for what is refused here.
#[cgroup_sockopt(setsockopt)]
pub(crate) fn setsockopt(ctx: SockoptContext) -> i32 {
    // SAFETY: the context of this run.
    let (level, option) = unsafe { ((*ctx.sockopt).level, (*ctx.sockopt).optname) };
    if !leads_around(level, option) {
        return ALLOW;
    }
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    report_attempt(&subject, &Attempt::NOWHERE, Cause::SocketOption);
    if subject.is_observed() { ALLOW } else { REFUSE }
}

/// Packets of a socket with a launch time wait behind the check of their deadline (`SO_TXTIME`, `tc-etf(8)`);
/// marks, devices and transparent sockets lead along other routes; options of IP and routing headers to other
/// hosts. include/uapi/asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h
#[inline(always)]
fn leads_around(level: i32, option: i32) -> bool {
    const SOL_IP: i32 = 0;
    const SOL_SOCKET: i32 = 1;
    const SOL_TCP: i32 = 6;
    const SOL_IPV6: i32 = 41;
    match (level, option) {
        // SO_BINDTODEVICE, SO_MARK, SO_TXTIME, SO_BINDTOIFINDEX
        (SOL_SOCKET, 25 | 36 | 61 | 62) => true,
        // IP_OPTIONS, IP_TRANSPARENT
        (SOL_IP, 4 | 19) => true,
        // TCP_REPAIR
        (SOL_TCP, 19) => true,
        // IPV6_2292PKTOPTIONS, IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR, IPV6_DSTOPTS, IPV6_TRANSPARENT
        (SOL_IPV6, 6 | 54 | 55 | 57 | 59 | 75) => true,
        _ => false,
    }
}

//! `bind(2)`: nobody takes a port that belongs to a broker, in a scope or outside. The node agent binds its
//! brokers' sockets before it says so here, and so nobody takes them while all of Lanyard is dead either.

use aya_ebpf::{
    bindings::bpf_sock_addr,
    helpers::{bpf_get_netns_cookie, generated::bpf_set_retval},
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use lanyard_node_agent_abi::{cause::Cause, pod::BrokerPort};

use crate::{
    connect::{ALLOW, REFUSE, bytes, mapped, user_ip4, user_ip6, user_port},
    maps::BROKER_PORT,
    refusal::{count, report_attempt},
    route::Attempt,
    subject,
};

/// IPv4.
#[cgroup_sock_addr(bind4)]
pub(crate) fn bind4(ctx: SockAddrContext) -> i32 {
    let address = mapped(user_ip4(ctx.sock_addr));
    verdict(ctx.sock_addr, address)
}

/// IPv6.
#[cgroup_sock_addr(bind6)]
pub(crate) fn bind6(ctx: SockAddrContext) -> i32 {
    let address = bytes(&user_ip6(ctx.sock_addr));
    verdict(ctx.sock_addr, address)
}

#[inline(always)]
fn verdict(context: *mut bpf_sock_addr, address: [u8; 16]) -> i32 {
    const EADDRINUSE: i32 = 98;
    let port = user_port(context);
    let key = BrokerPort {
        // SAFETY: the context of this run.
        namespace: unsafe { bpf_get_netns_cookie(context.cast()) },
        port: u32::from(port),
        reserved: 0,
    };
    // SAFETY: the value is not read.
    if port == 0 || unsafe { BROKER_PORT.get(key) }.is_none() {
        return ALLOW;
    }
    match subject::current() {
        Some(subject) => {
            let attempt = Attempt {
                address,
                port,
                protocol: 0,
            };
            report_attempt(&subject, &attempt, Cause::BrokerPort);
        }
        None => count(Cause::BrokerPort as u32),
    }
    // As if somebody had it: it is taken, or will be again.
    // SAFETY: no pointer.
    unsafe { bpf_set_retval(-EADDRINUSE) };
    REFUSE
}

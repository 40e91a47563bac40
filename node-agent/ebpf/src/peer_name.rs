//! `getpeername(2)`: a process sees the address it asked for, not the broker's.

use aya_ebpf::{macros::cgroup_sock_addr, programs::SockAddrContext};
use lanyard_node_agent_abi::{
    grant::carrier,
    tag::{Tag, side},
};

use crate::{
    connect::{ALLOW, socket},
    route::TCP,
    socket_storage::tag_of,
};

/// IPv4.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn getpeername4(ctx: SockAddrContext) -> i32 {
    let address = ctx.sock_addr;
    if let Some(tag) = tag_of(socket(address))
        && is_led(tag)
    {
        let [.., a, b, c, d] = tag.address;
        // SAFETY: the context of this run; the verifier knows these members as writable.
        unsafe {
            (*address).user_ip4 = u32::from_ne_bytes([a, b, c, d]);
            (*address).user_port = u32::from(tag.port);
        }
    }
    ALLOW
}

/// IPv6.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn getpeername6(ctx: SockAddrContext) -> i32 {
    let address = ctx.sock_addr;
    if let Some(tag) = tag_of(socket(address))
        && is_led(tag)
    {
        let word = |at: usize| {
            u32::from_ne_bytes([
                tag.address[at],
                tag.address[at + 1],
                tag.address[at + 2],
                tag.address[at + 3],
            ])
        };
        // SAFETY: the context of this run; the verifier knows these members as writable.
        unsafe {
            (*address).user_ip6[0] = word(0);
            (*address).user_ip6[1] = word(4);
            (*address).user_ip6[2] = word(8);
            (*address).user_ip6[3] = word(12);
            (*address).user_port = u32::from(tag.port);
        }
    }
    ALLOW
}

#[inline(always)]
fn is_led(tag: &Tag) -> bool {
    tag.side == side::CLIENT
        && (tag.carrier == carrier::BROKER
            || tag.carrier == carrier::RESOLVER
            || (tag.carrier == carrier::HOLD && tag.protocol == TCP))
}

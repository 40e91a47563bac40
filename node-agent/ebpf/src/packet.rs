//! Every packet of a tagged socket, in and out: nothing passes behind its grant's end.

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::cgroup_skb,
    programs::SkBuffContext,
};
use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    tag::{Tag, side},
};

use crate::{
    refusal::{count, report_packet},
    route::{self, TCP},
    socket_storage::tag_of,
};

const PASS: i32 = 1;
const DROP: i32 = 0;

/// Out.
#[cgroup_skb(egress)]
pub(crate) fn egress(ctx: SkBuffContext) -> i32 {
    verdict(ctx.skb.skb, Direction::Out)
}

/// In.
#[cgroup_skb(ingress)]
pub(crate) fn ingress(ctx: SkBuffContext) -> i32 {
    verdict(ctx.skb.skb, Direction::In)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
}

#[inline(always)]
fn verdict(packet: *mut __sk_buff, direction: Direction) -> i32 {
    // SAFETY: the context of this run; the member is a socket or null.
    let socket = unsafe { (*packet).__bindgen_anon_2.sk };
    let Some(tag) = tag_of(socket.cast()) else {
        return PASS;
    };
    let answer = if tag.carrier == carrier::RESOLVER {
        to_resolver(packet, tag, direction)
    } else {
        route::pass(tag)
    };
    match answer {
        Ok(()) => PASS,
        // Whoever destroys one end tells the other with this. A broker's end is tagged too, so that it
        // must pass there on its way in.
        Err(_) if is_bare_reset(packet) => PASS,
        Err(cause) => {
            refuse(tag, cause);
            DROP
        }
    }
}

/// The first drop of a socket is told, the others are counted.
#[inline(always)]
fn refuse(tag: &mut Tag, cause: Cause) {
    if tag.reserved[0] == 0 {
        tag.reserved[0] = 1;
        report_packet(tag, cause);
    } else {
        count(cause as u32);
    }
}

/// A resolver's socket talks to the resolver alone. It may have been connected to something else since it
/// was tagged, so that the packet itself is looked at.
#[inline(always)]
fn to_resolver(packet: *mut __sk_buff, tag: &Tag, direction: Direction) -> Result<(), Cause> {
    if tag.side == side::BROKER {
        return Ok(());
    }
    let Some(ports) = route::ports(tag.scope) else {
        return Err(Cause::NoBroker);
    };
    let other = Err(Cause::NotTheResolver);
    let Some(first) = load::<1>(packet, 0) else {
        return other;
    };
    let (is_loopback, ports_at, expected) = if first[0] >> 4 == 4 {
        // Without options: a header of another length is none that a resolver's socket needs.
        if first[0] != 0x45 {
            return other;
        }
        let at = if direction == Direction::Out { 16 } else { 12 };
        let Some(address) = load::<4>(packet, at) else {
            return other;
        };
        (
            address == [127, 0, 0, 1],
            20,
            if tag.protocol == TCP {
                ports.tcp4
            } else {
                ports.dns4
            },
        )
    } else {
        let Some(next) = load::<1>(packet, 6) else {
            return other;
        };
        if next[0] != tag.protocol {
            return other;
        }
        let at = if direction == Direction::Out { 24 } else { 8 };
        let Some(address) = load::<16>(packet, at) else {
            return other;
        };
        let is_loopback = address == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        (
            is_loopback,
            40,
            if tag.protocol == TCP {
                ports.tcp6
            } else {
                ports.dns6
            },
        )
    };
    let port_at = if direction == Direction::Out {
        ports_at + 2
    } else {
        ports_at
    };
    let Some(port) = load::<2>(packet, port_at) else {
        return other;
    };
    if is_loopback && expected != 0 && u16::from_ne_bytes(port) == expected {
        Ok(())
    } else {
        other
    }
}

/// A TCP reset that carries nothing.
#[inline(always)]
fn is_bare_reset(packet: *mut __sk_buff) -> bool {
    const RESET: u8 = 4;
    let Some(header) = load::<8>(packet, 0) else {
        return false;
    };
    let (tcp_at, tcp_length) = if header[0] == 0x45 {
        let Some(protocol) = load::<1>(packet, 9) else {
            return false;
        };
        if protocol[0] != TCP {
            return false;
        }
        (
            20,
            u32::from(u16::from_be_bytes([header[2], header[3]])).wrapping_sub(20),
        )
    } else if header[0] >> 4 == 6 && header[6] == TCP {
        (40, u32::from(u16::from_be_bytes([header[4], header[5]])))
    } else {
        return false;
    };
    let Some(tcp) = load::<14>(packet, tcp_at) else {
        return false;
    };
    tcp[13] & RESET != 0 && u32::from(tcp[12] >> 4) * 4 == tcp_length
}

#[inline(always)]
fn load<const N: usize>(packet: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the context of this run, and a buffer of exactly the length that is named.
    let error =
        unsafe { bpf_skb_load_bytes(packet.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
    (error == 0).then_some(bytes)
}

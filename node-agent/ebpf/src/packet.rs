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
    connect::{LOOPBACK4, LOOPBACK6, bytes, mapped},
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
    match may_pass(packet, tag, direction) {
        Ok(()) => PASS,
        // Whoever destroys one end tells the other with this. A broker's end is tagged as well, so that it
        // must pass there on its way in.
        Err(_) if is_bare_reset(packet) => PASS,
        Err(cause) => {
            refuse(tag, cause);
            DROP
        }
    }
}

/// The peer first, then the grant: a socket can be disconnected, bound, made to listen, or given options and
/// routes of its own after it was tagged, so that what counts is where this very packet goes or comes from.
#[inline(always)]
fn may_pass(packet: *mut __sk_buff, tag: &mut Tag, direction: Direction) -> Result<(), Cause> {
    if tag.side == side::CLIENT {
        let Some(peer) = Peer::of(packet, direction) else {
            return Err(Cause::OtherPeer);
        };
        if !is_meant(packet, tag, &peer) {
            return Err(Cause::OtherPeer);
        }
    }
    if tag.carrier == carrier::RESOLVER {
        return Ok(());
    }
    route::pass(tag)
}

/// The other end of a packet.
struct Peer {
    /// IPv6, or IPv4 as `::ffff:a.b.c.d`.
    address: [u8; 16],
    /// In network order.
    port: u16,
    protocol: u8,
    is_v4: bool,
}

impl Peer {
    /// Nothing for a packet with IPv4 options or IPv6 extension headers: they lead elsewhere than the
    /// address says, and nothing in a scope needs them. The kernel itself puts one before a packet that is
    /// longer than IPv6 can say; see [`jumbo`].
    #[inline(always)]
    fn of(packet: *mut __sk_buff, direction: Direction) -> Option<Self> {
        let out = direction == Direction::Out;
        let first = load::<24>(packet, 0)?;
        if first[0] == 0x45 {
            let at = if out { 16 } else { 12 };
            let word = u32::from_ne_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]]);
            let port = if out {
                [first[22], first[23]]
            } else {
                [first[20], first[21]]
            };
            return Some(Self {
                address: mapped(word),
                port: u16::from_ne_bytes(port),
                protocol: first[9],
                is_v4: true,
            });
        }
        if first[0] >> 4 != 6 {
            return None;
        }
        let address = if out {
            load::<16>(packet, 24)?
        } else {
            load::<16>(packet, 8)?
        };
        let (protocol, ports_at) = if first[6] == HOP_BY_HOP {
            (jumbo(packet)?, 48)
        } else {
            (first[6], 40)
        };
        let port = load::<2>(packet, if out { ports_at + 2 } else { ports_at })?;
        Some(Self {
            address,
            port: u16::from_ne_bytes(port),
            protocol,
            is_v4: false,
        })
    }

    #[inline(always)]
    fn is_loopback(&self) -> bool {
        self.address == mapped(LOOPBACK4) || self.address == bytes(&[0, 0, 0, LOOPBACK6])
    }
}

/// IPv6's next header for a hop-by-hop header.
const HOP_BY_HOP: u8 = 0;

/// The protocol behind a hop-by-hop header that is the jumbo option and nothing else (RFC 2675). The kernel
/// puts it before TCP packets over 64 KiB that are not cut into segments yet (ip6_xmit).
#[inline(always)]
fn jumbo(packet: *mut __sk_buff) -> Option<u8> {
    let [protocol, 0, 0xc2, 4] = load::<4>(packet, 40)? else {
        return None;
    };
    Some(protocol)
}

/// Whether `peer` is the one the socket was led to.
#[inline(always)]
fn is_meant(packet: *mut __sk_buff, tag: &Tag, peer: &Peer) -> bool {
    // LOOPBACK_IFINDEX, include/net/net_namespace.h: the same in every network namespace.
    const LOOPBACK: u32 = 1;
    if peer.protocol != tag.protocol {
        return false;
    }
    match tag.carrier {
        carrier::DIRECT => peer.address == tag.address && peer.port == tag.port,
        carrier::BROKER | carrier::HOLD | carrier::RESOLVER => {
            let Some(ports) = route::ports(tag.scope) else {
                return false;
            };
            let is_datagram = tag.protocol != TCP;
            let port = match (is_datagram, peer.is_v4) {
                (false, true) => ports.tcp4,
                (false, false) => ports.tcp6,
                (true, true) => ports.dns4,
                (true, false) => ports.dns6,
            };
            // SAFETY: the context of this run.
            let device = unsafe { (*packet).ifindex };
            port != 0 && peer.port == port && peer.is_loopback() && device == LOOPBACK
        }
        // Nobody carries it: told apart from a wrong peer by the grant's own check.
        _ => true,
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

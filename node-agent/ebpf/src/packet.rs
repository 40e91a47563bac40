//! Every packet of a tagged socket, in and out: nothing passes behind its grant's end.

use aya_ebpf::{
    bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes, macros::cgroup_skb,
    programs::SkBuffContext,
};
use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    tag::{Tag, side},
    virtual_address::is_virtual,
};

use crate::{
    connect::{LOOPBACK4, LOOPBACK6, bytes, mapped},
    listener::{self, Found, Path, is_loopback},
    refusal::{count, report_packet},
    route::{self, Attempt, Pass, TCP, UDP},
    socket_storage::tag_of,
};

const PASS: i32 = 1;
const DROP: i32 = 0;
/// `NET_XMIT_CN`: dropped, and nobody is told; on its way out only (`BPF_PROG_CGROUP_INET_EGRESS_RUN_ARRAY`).
const LOSE: i32 = 2;

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
        Pass::Yes => PASS,
        // Whoever destroys one end tells the other with this. A broker's end is tagged as well, so that it
        // must pass there on its way in.
        Pass::No(Cause::OtherPeer) if is_bare(packet, tag, false) => PASS,
        Pass::No(Cause::OtherPeer) => {
            refuse(packet, tag, Cause::OtherPeer, direction);
            DROP
        }
        Pass::NotYet | Pass::No(_) if is_bare(packet, tag, true) => PASS,
        Pass::NotYet if direction == Direction::Out => LOSE,
        Pass::NotYet => DROP,
        Pass::No(cause) => {
            refuse(packet, tag, cause, direction);
            DROP
        }
    }
}

/// The peer first, then the grant: a socket can be disconnected, bound, made to listen, or given options and
/// routes of its own after it was tagged, so that what counts is where this very packet goes or comes from.
#[inline(always)]
fn may_pass(packet: *mut __sk_buff, tag: &mut Tag, direction: Direction) -> Pass {
    if tag.side == side::BROKER {
        return if tag.carrier == carrier::RESOLVER {
            Pass::Yes
        } else {
            route::pass(tag)
        };
    }
    if tag.side == side::CLIENT && tag.carrier == carrier::OBSERVED {
        return route::pass(tag);
    }
    let Some(peer) = Peer::of(packet, direction) else {
        return Pass::No(Cause::OtherPeer);
    };
    if tag.side == side::SERVER {
        return to_server(packet, tag, &peer, direction);
    }
    if peer.protocol != tag.protocol {
        return Pass::No(Cause::OtherPeer);
    }
    if tag.protocol == TCP {
        stream(packet, tag, &peer, direction)
    } else {
        datagram(packet, tag, &peer)
    }
}

/// Where a broker serves, only its own scope is heard.
#[inline(always)]
fn to_server(packet: *mut __sk_buff, tag: &Tag, peer: &Peer, direction: Direction) -> Pass {
    if direction == Direction::Out || is_of_scope(packet, tag.scope, peer) {
        Pass::Yes
    } else {
        Pass::No(Cause::OtherPeer)
    }
}

#[inline(always)]
fn stream(packet: *mut __sk_buff, tag: &mut Tag, peer: &Peer, direction: Direction) -> Pass {
    match tag.carrier {
        carrier::NONE => unconnected(packet, tag, peer),
        carrier::LOCAL => local_stream(packet, tag, peer, direction),
        carrier::DIRECT if peer.address == tag.address && peer.port == tag.port => route::pass(tag),
        carrier::BROKER | carrier::HOLD if is_broker(packet, tag, peer) => route::pass(tag),
        carrier::RESOLVER if is_broker(packet, tag, peer) => Pass::Yes,
        _ => Pass::No(Cause::OtherPeer),
    }
}

/// A TCP socket that connected nowhere: it listens, or was accepted from one that does. Its own scope alone
/// reaches it.
#[inline(always)]
fn unconnected(packet: *mut __sk_buff, tag: &mut Tag, peer: &Peer) -> Pass {
    const ESTABLISHED: u32 = 1;
    if !is_of_scope(packet, tag.scope, peer) {
        return Pass::No(Cause::Untagged);
    }
    // SAFETY: the context of this run; the member is a socket or null.
    let socket = unsafe { (*packet).__bindgen_anon_2.sk };
    // SAFETY: a socket, as just compared; every socket has a state.
    if !socket.is_null() && unsafe { (*socket).state } == ESTABLISHED {
        // From now on its peer is this one, also when that has closed its end.
        tag.address = peer.address;
        tag.port = peer.port;
        tag.carrier = carrier::LOCAL;
    }
    Pass::Yes
}

/// Between two sockets of one scope. Of several listening sockets that share a port the kernel chooses one
/// when the first packet comes: that one is asked for again here.
#[inline(always)]
fn local_stream(packet: *mut __sk_buff, tag: &Tag, peer: &Peer, direction: Direction) -> Pass {
    if peer.address != tag.address || peer.port != tag.port || !is_on_loopback(packet) {
        return Pass::No(Cause::OtherPeer);
    }
    if direction == Direction::Out && peer.begins && !is_of_scope(packet, tag.scope, peer) {
        return Pass::No(Cause::OtherListener);
    }
    Pass::Yes
}

#[inline(always)]
fn datagram(packet: *mut __sk_buff, tag: &Tag, peer: &Peer) -> Pass {
    if tag.carrier == carrier::RESOLVER && is_broker(packet, tag, peer) {
        return Pass::Yes;
    }
    if is_virtual(&peer.address) {
        return Pass::No(Cause::Untagged);
    }
    let to = Attempt {
        address: peer.address,
        port: peer.port,
        protocol: UDP,
    };
    match route::pass_datagram(tag, &to) {
        Pass::No(Cause::NoGrant)
            if is_loopback(&peer.address) && is_of_scope(packet, tag.scope, peer) =>
        {
            Pass::Yes
        }
        Pass::No(Cause::NoGrant) if tag.carrier == carrier::DIRECT => Pass::No(Cause::GrantEnded),
        // What nobody asked for is no refusal of anything that the process did.
        Pass::No(Cause::NoGrant) => Pass::No(Cause::Untagged),
        passed @ (Pass::Yes | Pass::NotYet | Pass::No(_)) => passed,
    }
}

/// Whether the socket on the other end, found by the packet's own addresses and ports, is of that scope.
#[inline(always)]
fn is_of_scope(packet: *mut __sk_buff, scope: u32, peer: &Peer) -> bool {
    if !is_on_loopback(packet) || !is_loopback(&peer.address) {
        return false;
    }
    // As a packet to that socket would look, from here.
    let path = Path {
        from: peer.own,
        to: peer.address,
        from_port: peer.own_port,
        to_port: peer.port,
    };
    listener::receiver(packet.cast(), peer.protocol, &path) == Found::Scope(scope)
}

/// LOOPBACK_IFINDEX, include/net/net_namespace.h: the same in every network namespace.
#[inline(always)]
fn is_on_loopback(packet: *mut __sk_buff) -> bool {
    const LOOPBACK: u32 = 1;
    // SAFETY: the context of this run.
    unsafe { (*packet).ifindex == LOOPBACK }
}

/// Whether `peer` is where the scope's broker listens for this socket.
#[inline(always)]
fn is_broker(packet: *mut __sk_buff, tag: &Tag, peer: &Peer) -> bool {
    let Some(ports) = route::settings_of(tag.scope) else {
        return false;
    };
    let is_datagram = tag.protocol != TCP;
    let port = match (is_datagram, peer.is_v4) {
        (false, true) => ports.tcp4,
        (false, false) => ports.tcp6,
        (true, true) => ports.dns4,
        (true, false) => ports.dns6,
    };
    port != 0
        && peer.port == port
        && (peer.address == mapped(LOOPBACK4) || peer.address == bytes(&[0, 0, 0, LOOPBACK6]))
        && is_on_loopback(packet)
}

/// The two ends of a packet, seen from the socket that sends or receives it.
struct Peer {
    /// The other end: IPv6, or IPv4 as `::ffff:a.b.c.d`.
    address: [u8; 16],
    /// In network order.
    port: u16,
    /// This end.
    own: [u8; 16],
    own_port: u16,
    protocol: u8,
    is_v4: bool,
    /// Whether it is the first packet of a TCP connection.
    begins: bool,
}

impl Peer {
    /// Nothing for a packet with IPv4 options or IPv6 extension headers: they lead elsewhere than the
    /// address says, and nothing in a scope needs them. The kernel itself puts one before a packet that is
    /// longer than IPv6 can say; see [`jumbo`].
    #[inline(always)]
    fn of(packet: *mut __sk_buff, direction: Direction) -> Option<Self> {
        let first = load::<24>(packet, 0)?;
        let (from, to, protocol, ports_at, is_v4) = if first[0] == 0x45 {
            let word = |at: usize| {
                u32::from_ne_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]])
            };
            (mapped(word(12)), mapped(word(16)), first[9], 20, true)
        } else if first[0] >> 4 == 6 {
            let (protocol, ports_at) = if first[6] == HOP_BY_HOP {
                (jumbo(packet)?, 48)
            } else {
                (first[6], 40)
            };
            let from = load::<16>(packet, 8)?;
            let to = load::<16>(packet, 24)?;
            (from, to, protocol, ports_at, false)
        } else {
            return None;
        };
        let ports = load::<4>(packet, ports_at)?;
        let from_port = u16::from_ne_bytes([ports[0], ports[1]]);
        let to_port = u16::from_ne_bytes([ports[2], ports[3]]);
        let begins = protocol == TCP && is_first(packet, ports_at);
        let (own, own_port, address, port) = if direction == Direction::Out {
            (from, from_port, to, to_port)
        } else {
            (to, to_port, from, from_port)
        };
        Some(Self {
            address,
            port,
            own,
            own_port,
            protocol,
            is_v4,
            begins,
        })
    }
}

/// Whether a TCP header asks for a connection: SYN without ACK (RFC 9293, 3.1).
#[inline(always)]
fn is_first(packet: *mut __sk_buff, tcp_at: u32) -> bool {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    load::<1>(packet, tcp_at + 13).is_some_and(|flags| flags[0] & (SYN | ACK) == SYN)
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

/// The first drop of a socket is told, the others are counted.
#[inline(always)]
fn refuse(packet: *mut __sk_buff, tag: &mut Tag, cause: Cause, direction: Direction) {
    if tag.reserved[0] != 0 {
        count(cause as u32);
        return;
    }
    tag.reserved[0] = 1;
    match Peer::of(packet, direction) {
        Some(peer) if tag.protocol == UDP => report_packet(tag, &peer.address, peer.port, cause),
        _ => report_packet(tag, &tag.address, tag.port, cause),
    }
}

/// A TCP packet that carries nothing: a reset, towards anybody; anything, between a scope and its broker. There
/// a handshake is brought to its end, so that the broker can refuse what it was for, and each side hears of the
/// other's end. Without that, a client whose right ends in between waits for minutes.
#[inline(always)]
fn is_bare(packet: *mut __sk_buff, tag: &Tag, peer_is_meant: bool) -> bool {
    const RESET: u8 = 4;
    const ANY: u8 = 0xff;
    let is_at_broker = tag.carrier == carrier::BROKER || tag.carrier == carrier::HOLD;
    let wanted = if is_at_broker && peer_is_meant {
        ANY
    } else {
        RESET
    };
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
    tcp[13] & wanted != 0 && u32::from(tcp[12] >> 4) * 4 == tcp_length
}

#[inline(always)]
fn load<const N: usize>(packet: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the context of this run, and a buffer of exactly the length that is named.
    let error =
        unsafe { bpf_skb_load_bytes(packet.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
    (error == 0).then_some(bytes)
}

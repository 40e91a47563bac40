//! UDP that does not go to a resolver: it goes where each datagram is granted.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::{Grant, GrantKey, carrier},
    process::level,
};
use serde_json::json;

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::Node,
    peer::Datagrams,
};

fn connect_datagrams(actor: &mut Actor, to: &Destination) -> Result<(), String> {
    let code = format!(
        "s = connect({:?}, {}, socket.SOCK_DGRAM)",
        to.host(),
        to.port()
    );
    actor.attempt(&code).map(drop)
}

/// Sends a datagram from a socket that is connected to nothing.
fn send_to(actor: &mut Actor, to: &Destination) -> Result<(), String> {
    let (host, port) = (to.host(), to.port());
    let code = format!(
        "s = socket.socket(family({host:?}), socket.SOCK_DGRAM)\ns.sendto(b'hello', ({host:?}, {port}))"
    );
    actor.attempt(&code).map(drop)
}

/// By what a packet of a connected socket is refused. An IPv6 socket that is connected to a v4-mapped address
/// names it with every datagram (`udpv6_sendmsg`), so that it does not come as far as a packet.
pub(super) fn of_packet(family: Family, cause: Cause) -> Cause {
    match family {
        Family::V4 | Family::V6 => cause,
        Family::Mapped => Cause::NoGrant,
    }
}

#[test]
fn a_connect_to_a_virtual_address_is_silent_and_carries_nothing() {
    let mut node = Node::start();
    let (mut actor, mut outside) = (node.attested(level::IMAGE), node.outside());
    for family in Family::ALL {
        let host = Datagrams::at(family.imaginary(), 0);
        let to = family.to(family.imaginary(), host.address().port());
        // Resolvers sort addresses this way: it is no attempt to reach anything.
        connect_datagrams(&mut actor, &to).unwrap();
        assert_eq!(actor.peer(), (to.host(), to.port()), "{family:?}");
        assert_eq!(node.other_refusals(), [], "{family:?}");

        let sent = actor.attempt("s.send(b'hello')");
        assert_eq!(sent, Err("EPERM".into()), "{family:?}");
        let event = node.refusal(of_packet(family, Cause::Untagged));
        assert_eq!(
            (event.address, event.protocol),
            (to.bytes(), 17),
            "{family:?}"
        );
        assert!(host.has_nothing(), "{family:?}");

        connect_datagrams(&mut outside, &to).unwrap();
        outside.run("s.send(b'hello')");
        assert_eq!(host.receive().0, "hello", "{family:?}");
    }
}

#[test]
fn a_connect_to_any_other_address_is_refused() {
    let mut node = Node::start();
    let (mut actor, mut outside) = (node.attested(level::IMAGE), node.outside());
    for family in Family::ALL {
        let host = Datagrams::at(family.real(), 0);
        let to = family.to(family.real(), host.address().port());
        // A grant is for TCP.
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        assert_eq!(
            connect_datagrams(&mut actor, &to),
            Err("EPERM".into()),
            "{family:?}"
        );
        let event = node.refusal(Cause::NoGrant);
        assert_eq!(
            (event.address, event.protocol),
            (to.bytes(), 17),
            "{family:?}"
        );
        assert_eq!(
            (event.port, event.tgid),
            (to.port().to_be(), actor.pid),
            "{family:?}"
        );
        connect_datagrams(&mut outside, &to).unwrap();
    }
}

#[test]
fn a_datagram_to_anything_but_a_resolver_is_refused() {
    let mut node = Node::start();
    let mut outside = node.outside();
    let mut inside = [
        (node.attested(level::IMAGE), Cause::NoGrant),
        (node.enter(), Cause::NoGrant),
        (node.refused(), Cause::ImageRefused),
        (node.moved_in(), Cause::NoProcess),
    ];
    for family in Family::ALL {
        for address in [family.real(), family.imaginary()] {
            let host = Datagrams::at(address, 0);
            let to = family.to(address, host.address().port());
            for (actor, cause) in &mut inside {
                assert_eq!(send_to(actor, &to), Err("EPERM".into()), "{to:?}");
                // A virtual address is nobody's to send to.
                let is_virtual = address == family.imaginary();
                let event = node.refusal(if is_virtual { Cause::NoGrant } else { *cause });
                assert_eq!((event.address, event.protocol), (to.bytes(), 17), "{to:?}");
                assert_eq!(
                    (event.port, event.tgid),
                    (to.port().to_be(), actor.pid),
                    "{to:?}"
                );
            }
            assert!(host.has_nothing(), "{to:?}");
            send_to(&mut outside, &to).unwrap();
            assert_eq!(host.receive().0, "hello", "{to:?}");
        }
    }
}

/// Lets the agent send datagrams to that destination, at `IMAGE`.
fn grant_datagrams(node: &mut Node, to: &Destination) -> u32 {
    const UDP: u8 = 17;
    let slot = node.new_slot();
    let key = GrantKey {
        protocol: UDP,
        ..node.key(to)
    };
    let grant = Grant {
        slots: [0, 0, slot],
        carrier: u32::from(carrier::DIRECT),
    };
    node.maps().set_grant(key, grant).unwrap();
    slot
}

#[test]
fn a_granted_flow_of_datagrams_goes_both_ways_until_it_ends() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let (host, other) = (
            Datagrams::at(family.real(), 0),
            Datagrams::at(family.real(), 0),
        );
        let to = family.to(family.real(), host.address().port());
        let elsewhere = family.to(family.real(), other.address().port());
        let slot = grant_datagrams(&mut node, &to);
        for is_connected in [true, false] {
            if is_connected {
                connect_datagrams(&mut actor, &to).unwrap();
                actor.run("s.send(b'hello')");
            } else {
                send_to(&mut actor, &to).unwrap();
            }
            let (text, from) = host.receive();
            assert_eq!(text, "hello", "{family:?}");
            // Nobody else is heard on that socket.
            other.answer("forged", from);
            host.answer("answer", from);
            assert_eq!(
                actor.run("s.recv(100).decode()"),
                json!("answer"),
                "{family:?}"
            );
        }
        assert_eq!(send_to(&mut actor, &elsewhere), Err("EPERM".into()));
        assert!(other.has_nothing(), "{family:?}");
        connect_datagrams(&mut actor, &to).unwrap();
        node.end_at(slot, 0);
        assert_eq!(actor.attempt("s.send(b'late')"), Err("EPERM".into()));
        assert_eq!(send_to(&mut actor, &to), Err("EPERM".into()));
        assert!(host.has_nothing(), "{family:?}");
    }
}

#[test]
fn datagrams_of_an_image_that_is_looked_at_are_lost_and_then_arrive() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let host = Datagrams::at(Family::V4.real(), 0);
    let to = Family::V4.to(Family::V4.real(), host.address().port());
    grant_datagrams(&mut node, &to);
    connect_datagrams(&mut actor, &to).unwrap();
    actor.run("s.send(b'early')");
    send_to(&mut actor, &to).unwrap();
    assert!(host.has_nothing(), "nobody knows yet who it is");
    let principal = node.principal;
    node.attest(&actor, principal, level::IMAGE);
    send_to(&mut actor, &to).unwrap();
    assert_eq!(host.receive().0, "hello");
}

#[test]
fn a_datagram_in_pieces_is_refused_as_a_whole_one_is() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let host = Datagrams::at(Family::V4.imaginary(), 0);
    let to = Family::V4.to(Family::V4.imaginary(), host.address().port());
    connect_datagrams(&mut actor, &to).unwrap();
    // Gathered under the connected address, and sent off with a resolver's.
    actor.run("s.send(b'hel', socket.MSG_MORE)");
    let sent = actor.attempt("s.sendto(b'lo', ('10.99.0.53', 53))");
    assert_eq!(sent, Err("EPERM".into()));
    assert!(host.has_nothing());
    node.refusal(Cause::Untagged);
}

#[test]
fn an_address_that_says_no_family_is_judged_like_one_that_does() {
    let mut node = Node::start();
    let (mut actor, mut outside) = (node.attested(level::IMAGE), node.outside());
    let host = Datagrams::at(Family::V4.real(), 0);
    // To IPv4 a family of zero is its own (udp_sendmsg).
    let code = format!(
        "import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket(type=socket.SOCK_DGRAM)
to = struct.pack('=H', socket.AF_UNSPEC) + struct.pack('!H', {}) + socket.inet_aton('10.99.0.1') + bytes(8)
if libc.sendto(s.fileno(), b'hello', 5, 0, to, 16) < 0:
    raise OSError(ctypes.get_errno(), 'sendto')",
        host.address().port()
    );
    assert_eq!(actor.attempt(&code), Err("EPERM".into()));
    node.refusal(Cause::NoGrant);
    assert!(host.has_nothing());
    outside.run(&code);
    assert_eq!(host.receive().0, "hello");
}

//! Questions to port 53: whoever is asked, the scope's resolver gets them, and the answer looks right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level, tag::side};
use serde_json::json;

use super::{
    datagram::of_packet,
    destination::{Destination, Family},
    node::Node,
    peer::Datagrams,
};

/// A server that a process asks by its address. It is there, and hears nothing from a scope.
struct Asked {
    server: Datagrams,
    to: Destination,
}

impl Asked {
    fn by(family: Family) -> Self {
        let address = match family {
            Family::V4 | Family::Mapped => IpAddr::V4(Ipv4Addr::new(10, 99, 0, 53)),
            Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 0x53)),
        };
        Self {
            server: Datagrams::at(address, 53),
            to: family.to(address, 53),
        }
    }
}

#[test]
fn an_unconnected_question_goes_to_the_resolver_and_the_answer_comes_from_whom_was_asked() {
    let mut node = Node::start();
    // Names are for every process: who asks is settled when it connects.
    let mut inside = [
        node.attested(level::IMAGE),
        node.enter(),
        node.refused(),
        node.moved_in(),
    ];
    for family in Family::ALL {
        let asked = Asked::by(family);
        let host = asked.to.host();
        for actor in &mut inside {
            actor.run(&format!(
                "s = socket.socket(family({host:?}), socket.SOCK_DGRAM)\ns.sendto(b'question', ({host:?}, 53))"
            ));
            let (text, from) = node.broker.dns(family).receive();
            assert_eq!(text, "question", "{family:?}");
            node.broker.dns(family).answer("answer", from);
            actor.run("answer_bytes, sender = s.recvfrom(100)");
            assert_eq!(
                actor.run("answer_bytes.decode()"),
                json!("answer"),
                "{family:?}"
            );
            assert_eq!(actor.run("sender[:2]"), json!([host, 53]), "{family:?}");
        }
        assert!(asked.server.has_nothing(), "{family:?}");
    }
}

#[test]
fn a_connected_question_goes_to_the_resolver_and_the_answer_comes_from_whom_was_asked() {
    let mut node = Node::start();
    let mut actor = node.enter();
    for family in Family::ALL {
        let asked = Asked::by(family);
        let host = asked.to.host();
        actor.run(&format!("s = connect({host:?}, 53, socket.SOCK_DGRAM)"));
        assert_eq!(actor.peer(), (host.clone(), 53), "{family:?}");
        actor.run("s.send(b'question')");
        let (text, from) = node.broker.dns(family).receive();
        assert_eq!(text, "question", "{family:?}");
        node.broker.dns(family).answer("answer", from);
        actor.run("answer_bytes, sender = s.recvfrom(100)");
        assert_eq!(
            actor.run("answer_bytes.decode()"),
            json!("answer"),
            "{family:?}"
        );
        assert_eq!(actor.run("sender[:2]"), json!([host, 53]), "{family:?}");
        assert!(asked.server.has_nothing(), "{family:?}");
    }
}

#[test]
fn a_question_from_outside_any_scope_goes_where_it_is_sent() {
    let node = Node::start();
    let mut outside = node.outside();
    for family in Family::ALL {
        let asked = Asked::by(family);
        let host = asked.to.host();
        outside.run(&format!(
            "s = socket.socket(family({host:?}), socket.SOCK_DGRAM)\ns.sendto(b'question', ({host:?}, 53))"
        ));
        let (text, from) = asked.server.receive();
        assert_eq!(text, "question", "{family:?}");
        asked.server.answer("answer", from);
        assert_eq!(
            outside.run("s.recvfrom(100)[1][:2]"),
            json!([host, 53]),
            "{family:?}"
        );
        assert!(node.broker.dns(family).has_nothing(), "{family:?}");
    }
}

#[test]
fn a_question_over_tcp_arrives_at_the_broker_as_one() {
    let mut node = Node::start();
    let mut actor = node.enter();
    for family in Family::ALL {
        let to = Asked::by(family).to;
        actor.connect(&to).unwrap();
        assert_eq!(actor.peer(), (to.host(), 53), "{family:?}");
        let broker = node.broker.tcp(family);
        let mut accepted = broker.accept();
        let tag = accepted.tag().expect("a tag");
        assert_eq!(
            (tag.carrier, tag.side),
            (carrier::RESOLVER, side::BROKER),
            "{family:?}"
        );
        assert_eq!((tag.scope, tag.tgid), (node.scope, actor.pid), "{family:?}");
        actor.send("question");
        assert_eq!(accepted.receive(8), "question", "{family:?}");
        accepted.send("answer");
        assert_eq!(actor.receive(6).unwrap(), "answer", "{family:?}");
    }
}

#[test]
fn a_resolvers_socket_talks_to_nobody_else() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let host = Datagrams::at(family.imaginary(), 0);
        let (elsewhere, port) = (
            family.to(family.imaginary(), 0).host(),
            host.address().port(),
        );
        let asked = Asked::by(family);
        // Connected to a virtual address in silence, and then tagged as a resolver's by a question.
        actor.run(&format!(
            "s = connect({elsewhere:?}, {port}, socket.SOCK_DGRAM)"
        ));
        actor.run(&format!(
            "s.sendto(b'question', ({:?}, 53))",
            asked.to.host()
        ));
        assert_eq!(
            node.broker.dns(family).receive().0,
            "question",
            "{family:?}"
        );
        assert_eq!(
            actor.attempt("s.send(b'hello')"),
            Err("EPERM".into()),
            "{family:?}"
        );
        let event = node.refusal(of_packet(family, Cause::Untagged));
        assert_eq!((event.tgid, event.protocol), (actor.pid, 17), "{family:?}");
        assert!(host.has_nothing(), "{family:?}");
        // Naming it again is refused by the hook, and the socket is the resolver's still.
        let named = format!("s.sendto(b'hello', ({elsewhere:?}, {port}))");
        assert_eq!(actor.attempt(&named), Err("EPERM".into()), "{family:?}");
        assert!(host.has_nothing(), "{family:?}");
    }
}

#[test]
fn a_resolvers_socket_hears_nobody_else() {
    let mut node = Node::start();
    let (mut actor, mut outside) = (node.enter(), node.outside());
    let asked = Asked::by(Family::V4);
    let ask = format!(
        "s = socket.socket(type=socket.SOCK_DGRAM)\ns.sendto(b'question', ({:?}, 53))",
        asked.to.host()
    );
    actor.run(&ask);
    let (_, from) = node.broker.dns4.receive();
    outside.run(&format!(
        "s = socket.socket(type=socket.SOCK_DGRAM)\ns.sendto(b'forged', ('127.0.0.1', {}))",
        from.port()
    ));
    node.refusal(Cause::Untagged);
    actor.run("s.settimeout(0)");
    assert_eq!(actor.attempt("s.recv(100)"), Err("EAGAIN".into()));
    node.broker.dns4.answer("answer", from);
    actor.run("s.settimeout(20)");
    assert_eq!(actor.run("s.recv(100).decode()"), json!("answer"));
}

//! What a broker learns of a connection, what its client sees of it, and who learns nothing.

use lanyard_node_agent_abi::{
    grant::carrier,
    process::level,
    tag::{Tag, side},
};
use serde_json::json;

use super::{
    destination::{Destination, Family},
    node::Node,
    peer::{Peer, reach},
};

/// What the kernel says to a level that it does not know (`do_ip_getsockopt`).
const UNKNOWN: &str = "ENOTSUP";
const ASK: &str = "s.getsockopt(0xA7, 1, 72).hex()";

fn imaginary(family: Family) -> Destination {
    family.to(family.imaginary(), 443)
}

#[test]
fn a_brokered_connection_arrives_with_everything_a_broker_must_know() {
    let mut node = Node::start();
    let mut actor = node.attested(level::LINEAGE);
    for family in Family::ALL {
        let to = imaginary(family);
        let slot = node.grant(level::LINEAGE, &to, carrier::BROKER);
        actor.connect(&to).unwrap();
        let broker = node.broker.tcp(family);
        let mut accepted = broker.accept();
        let tag = accepted.tag().expect("a tag");
        let expected = Tag {
            exec_id: actor.exec_id,
            cookie: tag.cookie,
            generation: 0,
            held_until: 0,
            scope: node.scope,
            slot,
            principal: node.principal,
            tgid: actor.pid,
            address: to.bytes(),
            port: to.port().to_be(),
            carrier: carrier::BROKER,
            level: level::LINEAGE,
            side: side::BROKER,
            protocol: 6,
            reserved: [0; 2],
        };
        assert_eq!(tag, expected, "{family:?}");
        assert_ne!(tag.cookie, 0);

        actor.send("to the broker");
        assert_eq!(accepted.receive(13), "to the broker");
        accepted.send("from the broker");
        assert_eq!(actor.receive(15).unwrap(), "from the broker");
    }
}

#[test]
fn a_client_sees_the_address_it_asked_for() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let to = imaginary(family);
        node.grant(level::IMAGE, &to, carrier::BROKER);
        actor.connect(&to).unwrap();
        assert_eq!(actor.peer(), (to.host(), to.port()), "{family:?}");
    }
}

#[test]
fn a_connection_is_told_of_with_both_its_ends() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let to = imaginary(family);
        let slot = node.grant(level::IMAGE, &to, carrier::BROKER);
        actor.connect(&to).unwrap();
        let broker = node.broker.tcp(family);
        let tag = broker.accept().tag().expect("a tag");
        let flow = node.flow(&to);
        assert_eq!(
            (flow.exec_id, flow.tgid),
            (actor.exec_id, actor.pid),
            "{family:?}"
        );
        assert_eq!(
            (flow.scope, flow.slot, flow.cookie),
            (node.scope, slot, tag.cookie)
        );
        assert_eq!(flow.carrier, u32::from(carrier::BROKER));
        assert_eq!(
            flow.remote_port,
            node.broker.tcp(family).port().to_be(),
            "{family:?}"
        );
        let own_port = actor.run("s.getsockname()[1]").as_u64().unwrap();
        assert_eq!(
            u64::from(u16::from_be(flow.local_port)),
            own_port,
            "{family:?}"
        );
    }
}

#[test]
fn a_socket_accepted_from_outside_any_scope_has_no_tag() {
    let node = Node::start();
    for broker in [&node.broker.tcp4, &node.broker.tcp6] {
        let ip = if broker.port() == node.broker.tcp4.port() {
            "127.0.0.1"
        } else {
            "::1"
        };
        let _client = reach(
            format!("{}:{}", bracketed(ip), broker.port())
                .parse()
                .unwrap(),
        );
        assert_eq!(broker.accept().tag(), None);
    }
}

fn bracketed(ip: &str) -> String {
    if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    }
}

#[test]
fn a_client_cannot_read_the_tag_of_its_own_socket() {
    let mut node = Node::start();
    let to = imaginary(Family::V4);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut held = node.enter();
    held.connect(&to).unwrap();
    assert_eq!(held.attempt(ASK), Err(UNKNOWN.into()));
    let mut attested = node.attested(level::IMAGE);
    attested.connect(&to).unwrap();
    assert_eq!(attested.attempt(ASK), Err(UNKNOWN.into()));
    // The other end of the very connection has it.
    assert!(node.broker.tcp4.accept().tag().is_some());
}

#[test]
fn a_broker_without_any_privilege_reads_tags() {
    let mut node = Node::start();
    let to = imaginary(Family::V4);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut broker = node.outside();
    broker.run("listener = socket.create_server(('127.0.0.1', 0)); os.setuid(65534)");
    let port = broker.run("listener.getsockname()[1]").as_u64().unwrap();
    let mut ports = node.broker.ports();
    ports.tcp4 = u16::try_from(port).unwrap().to_be();
    let scope = node.scope;
    node.maps().set_settings(scope, ports).unwrap();

    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    broker.run("s = listener.accept()[0]");
    assert_eq!(broker.run("len(s.getsockopt(0xA7, 1, 72))"), json!(72));
    assert_eq!(
        broker.run("int.from_bytes(s.getsockopt(0xA7, 1, 72)[:8], sys.byteorder)"),
        json!(actor.exec_id)
    );
    // Too little room is no half a tag, and another option is none at all.
    assert_eq!(
        broker.attempt("s.getsockopt(0xA7, 1, 71)"),
        Err(UNKNOWN.into())
    );
    assert_eq!(
        broker.attempt("s.getsockopt(0xA7, 2, 72)"),
        Err(UNKNOWN.into())
    );
    assert_eq!(
        broker.attempt("s.getsockopt(0xA8, 1, 72)"),
        Err(UNKNOWN.into())
    );
}

#[test]
fn connections_of_two_processes_have_tags_of_their_own() {
    let mut node = Node::start();
    let to = imaginary(Family::V4);
    let slot = node.grant(level::IMAGE, &to, carrier::BROKER);
    let (mut attested, mut held) = (node.attested(level::IMAGE), node.enter());
    attested.connect(&to).unwrap();
    held.connect(&to).unwrap();
    let [first, second] = [(); 2].map(|()| node.broker.tcp4.accept().tag().expect("a tag"));
    assert_eq!((first.tgid, first.slot), (attested.pid, slot));
    assert_eq!((second.tgid, second.slot), (held.pid, 0));
    // A host that is no broker learns nothing of either.
    let host = Peer::at(Family::V4.real());
    let real = Family::V4.to(Family::V4.real(), host.port());
    node.grant(level::IMAGE, &real, carrier::DIRECT);
    attested.connect(&real).unwrap();
    assert_eq!(host.accept().tag(), None);
}

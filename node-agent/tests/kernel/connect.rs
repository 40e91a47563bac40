//! `connect(2)`: one verdict for each of the three ways to name a destination.

use lanyard_node_agent_abi::{cause::Cause, event::RefusalEvent, grant::carrier, process::level};

use super::{
    destination::{Destination, Family},
    node::Node,
    other_peer::DISCONNECT,
    peer::{Peer, reach},
};

/// A host that listens, and how a process of that family calls it.
fn host(family: Family) -> (Peer, Destination) {
    let peer = Peer::at(family.real());
    let to = family.to(family.real(), peer.port());
    (peer, to)
}

fn is_about(event: &RefusalEvent, node: &Node, to: &Destination) -> bool {
    event.scope == node.scope
        && event.address == to.bytes()
        && event.port == to.port().to_be()
        && event.protocol == 6
}

#[test]
fn a_process_that_nobody_attested_is_held_at_the_broker() {
    let mut node = Node::start();
    let mut actor = node.enter();
    for family in Family::ALL {
        let (peer, to) = host(family);
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        actor.connect(&to).unwrap();
        let broker = node.broker.tcp(family);
        let tag = broker.accept().tag().expect("a tag");
        assert_eq!(
            (tag.carrier, tag.principal, tag.slot),
            (carrier::HOLD, 0, 0),
            "{family:?}"
        );
        assert_eq!(
            (tag.address, tag.port),
            (to.bytes(), to.port().to_be()),
            "{family:?}"
        );
        assert_eq!(tag.exec_id, actor.exec_id);
        assert!(peer.has_nobody(), "{family:?}: it reached the host itself");
    }
}

#[test]
fn a_refused_image_may_connect_nowhere() {
    let mut node = Node::start();
    let (mut actor, mut outside) = (node.refused(), node.outside());
    for family in Family::ALL {
        let (peer, to) = host(family);
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        assert_eq!(actor.connect(&to), Err("EPERM".into()), "{family:?}");
        let event = node.refusal(Cause::ImageRefused);
        assert!(is_about(&event, &node, &to), "{family:?}: {event:?}");
        assert_eq!((event.tgid, event.exec_id), (actor.pid, actor.exec_id));
        assert!(peer.has_nobody());
        // A process in no scope is not asked.
        outside.connect(&to).unwrap();
        peer.accept();
    }
}

#[test]
fn an_attested_image_may_connect_where_it_has_a_grant_and_nowhere_else() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let (peer, to) = host(family);
        let (other, elsewhere) = host(family);
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        actor.connect(&to).unwrap();
        assert_eq!(
            peer.accept().tag(),
            None,
            "{family:?}: a host is told nothing"
        );
        assert_eq!(actor.peer(), (to.host(), to.port()), "{family:?}");
        actor.send("hello");

        assert_eq!(
            actor.connect(&elsewhere),
            Err("EPERM".into()),
            "{family:?}: another port"
        );
        let event = node.refusal(Cause::NoGrant);
        assert!(is_about(&event, &node, &elsewhere), "{family:?}: {event:?}");
        let same_port = family.to(family.imaginary(), to.port());
        assert_eq!(
            actor.connect(&same_port),
            Err("EPERM".into()),
            "{family:?}: another host"
        );
        let event = node.refusal(Cause::NoGrant);
        assert!(is_about(&event, &node, &same_port), "{family:?}: {event:?}");
        assert!(other.has_nobody());
        reach(elsewhere.address).unwrap();
    }
}

#[test]
fn a_grant_of_an_ipv4_address_counts_however_it_is_named() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let (_peer, to) = host(Family::V4);
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mapped = Destination {
        family: Family::Mapped,
        ..to
    };
    actor.connect(&mapped).unwrap();
    let key = node.key(&to);
    node.maps().remove_grant(key).unwrap();
    assert_eq!(actor.connect(&mapped), Err("EPERM".into()));
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
}

#[test]
fn a_process_that_executed_nothing_in_the_scope_may_connect_nowhere() {
    let mut node = Node::start();
    let mut actor = node.moved_in();
    for family in Family::ALL {
        let (_peer, to) = host(family);
        node.grant(level::SCOPE, &to, carrier::DIRECT);
        assert_eq!(actor.connect(&to), Err("EPERM".into()), "{family:?}");
        let event = node.refusal(Cause::NoProcess);
        assert!(is_about(&event, &node, &to), "{family:?}: {event:?}");
        assert_eq!((event.tgid, event.exec_id), (actor.pid, 0));
    }
}

#[test]
fn an_identity_ends_with_the_image_it_was_attested_for() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let (peer, to) = host(Family::V4);
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.connect(&to).unwrap();
    peer.accept();

    actor.execute_again();
    actor.connect(&to).unwrap();
    let tag = node.broker.tcp4.accept().tag().expect("a tag");
    assert_eq!(
        tag.carrier,
        carrier::HOLD,
        "the new image was attested by nobody"
    );
    assert_ne!(tag.exec_id, actor.exec_id);
    assert!(peer.has_nobody());
}

#[test]
fn a_connection_with_data_in_its_first_packet_is_judged_alike() {
    let mut node = Node::start();
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "3").unwrap();
    let mut actor = node.attested(level::IMAGE);
    let (peer, to) = host(Family::V4);
    let fast_open = format!(
        "s = socket.socket()\ns.setblocking(True)\ns.sendto(b'hello', socket.MSG_FASTOPEN, ({:?}, {}))",
        to.host(),
        to.port()
    );
    assert_eq!(actor.attempt(&fast_open), Err("EPERM".into()));
    assert!(peer.has_nobody());
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.run(&fast_open);
    assert_eq!(peer.accept().receive(5), "hello");
}

#[test]
fn a_socket_that_was_connected_is_judged_anew_for_where_it_goes_next() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let (peer, to) = host(Family::V4);
    let (other, elsewhere) = host(Family::V4);
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.connect(&to).unwrap();
    peer.accept();
    actor.run(DISCONNECT);
    let again = |to: &Destination| format!("s.connect(({:?}, {}))", to.host(), to.port());
    assert_eq!(actor.attempt(&again(&elsewhere)), Err("EPERM".into()));
    assert!(other.has_nobody());
    actor.run(&again(&to));
    peer.accept();
}

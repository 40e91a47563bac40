//! What is refused is counted by its cause, and told of.

use std::collections::BTreeMap;

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{ScopeSettings, level},
};

use super::{destination::Family, node::Node, peer::Peer};

/// The counters that rose since `before`, and by how much.
fn risen(node: &mut Node, before: &BTreeMap<&'static str, u64>) -> Vec<(&'static str, u64)> {
    let now = node.maps().counters().unwrap();
    let rise = now
        .into_iter()
        .map(|(name, count)| (name, count - before[name]));
    rise.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn each_refusal_raises_its_own_counter_and_no_other() {
    let mut node = Node::start();
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    let connect = format!("connect({:?}, {}) and None", to.host(), to.port());
    let silent = "s = connect('198.19.0.7', 9, socket.SOCK_DGRAM)\ns.send(b'x')";
    let elsewhere = "s = connect('198.19.0.7', 9, socket.SOCK_DGRAM)
s.sendto(b'x', ('10.99.0.53', 53))
s.send(b'x')";
    let raw = "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)";
    let ended = Family::V4.to(Family::V4.imaginary(), 443);
    let slot = node.grant(level::IMAGE, &ended, carrier::DIRECT);
    node.end_at(slot, 0);
    let too_late = format!("connect({:?}, 443)", ended.host());
    let mut actors = [
        node.attested(level::IMAGE),
        node.refused(),
        node.moved_in(),
        node.enter(),
    ];
    let (attested, refused, moved, held) = (0, 1, 2, 3);
    let attempts = [
        (Cause::NoProcess, moved, connect.as_str()),
        (Cause::ImageRefused, refused, &connect),
        (Cause::NoGrant, attested, &connect),
        (Cause::GrantEnded, attested, &too_late),
        (Cause::SocketKind, attested, raw),
        (Cause::Untagged, attested, silent),
        (Cause::Untagged, attested, elsewhere),
    ];
    for (cause, who, code) in attempts {
        let actor = &mut actors[who];
        let before = node.maps().counters().unwrap();
        actor.attempt(code).unwrap_err();
        assert_eq!(risen(&mut node, &before), [(cause.name(), 1)], "{code}");
        let event = node.refusal(cause);
        assert_eq!((event.scope, event.tgid), (node.scope, actor.pid), "{code}");
        assert_eq!(node.other_refusals(), [], "{code}");
    }
    let waiting = Family::V4.to(Family::V4.imaginary(), 444);
    node.grant(level::IMAGE, &waiting, carrier::BROKER);
    let (scope, before) = (node.scope, node.maps().counters().unwrap());
    node.maps()
        .set_settings(scope, ScopeSettings::ZERO)
        .unwrap();
    let wait = format!("connect({:?}, 444)", waiting.host());
    actors[held].attempt(&wait).unwrap_err();
    assert_eq!(risen(&mut node, &before), [(Cause::NoBroker.name(), 1)]);
    node.refusal(Cause::NoBroker);
}

#[test]
fn the_first_dropped_packet_of_a_socket_is_told_of_and_all_are_counted() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    actor.run("s = connect('198.19.0.7', 9, socket.SOCK_DGRAM)");
    for _ in 0..10 {
        actor.attempt("s.send(b'x')").unwrap_err();
    }
    assert_eq!(node.refusals(Cause::Untagged), 10);
    let event = node.refusal(Cause::Untagged);
    assert_eq!((event.exec_id, event.port), (actor.exec_id, 9_u16.to_be()));
    assert_eq!(node.other_refusals(), []);
    actor.run("s = connect('198.19.0.7', 9, socket.SOCK_DGRAM)");
    actor.attempt("s.send(b'x')").unwrap_err();
    node.refusal(Cause::Untagged);
}

#[test]
fn a_flood_of_refusals_is_counted_where_it_is_not_told_of() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let flood = "for _ in range(20_000):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
    except OSError:
        pass";
    actor.run(flood);
    assert_eq!(node.refusals(Cause::SocketKind), 20_000);
    let told = u64::try_from(node.other_refusals().len()).unwrap();
    let counters = node.maps().counters().unwrap();
    let (lost, limited) = (counters["LostRefusals"], counters["LimitedRefusals"]);
    assert_eq!(told + lost + limited, 20_000);
    assert!(
        limited > 0,
        "a scope may tell everything: nothing was tried"
    );
    // What is told of executions has a ring of its own.
    let new = node.enter();
    assert_ne!(new.exec_id, actor.exec_id);
}

#[test]
fn what_is_allowed_raises_no_counter() {
    let mut node = Node::start();
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let mut accepted = peer.accept();
    actor.send("hello");
    assert_eq!(accepted.receive(5), "hello");
    actor.run("s.close()");
    assert_eq!(accepted.end(), None);
    assert!(
        node.maps()
            .counters()
            .unwrap()
            .values()
            .all(|count| *count == 0)
    );
}

//! A scope that is only observed: everything passes and is told of, until it is enforced.

use lanyard_node_agent_abi::{
    cause::Cause,
    event::refusal,
    grant::carrier,
    process::{ScopeSettings, level, marks},
};

use super::{
    destination::{Destination, Family},
    node::Node,
    peer::Peer,
};

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

fn set(node: &mut Node, marks: u32) {
    let scope = node.scope;
    let settings = ScopeSettings {
        marks,
        ..node.broker.ports()
    };
    node.maps().set_settings(scope, settings).unwrap();
}

fn observed() -> Node {
    let mut node = Node::start();
    set(&mut node, marks::OBSERVE);
    node
}

#[test]
fn what_nothing_grants_passes_and_is_told_of() {
    let mut node = observed();
    let (peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let mut accepted = peer.accept();
    let event = node.refusal(Cause::NoGrant);
    assert_eq!(event.marks & refusal::OBSERVED, refusal::OBSERVED);
    assert_eq!((event.address, event.port), (to.bytes(), to.port().to_be()));
    actor.send("there");
    assert_eq!(accepted.receive(5), "there");
    accepted.send("and back");
    assert_eq!(actor.receive(8).unwrap(), "and back");
    assert_eq!(node.other_refusals(), []);
}

#[test]
fn datagrams_raw_sockets_and_unix_sockets_pass_and_are_told_of() {
    let mut node = observed();
    let mut actor = node.attested(level::IMAGE);
    let host = Family::V4.real();
    let ways = [
        (
            format!(
                "r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r.bind(('{host}', 0))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b'x', r.getsockname())
assert r.recv(1) == b'x'"
            ),
            Cause::NoGrant,
        ),
        (
            "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()".to_owned(),
            Cause::SocketKind,
        ),
        (
            "try:
    socket.socket(socket.AF_UNIX).connect('/no/such/socket')
except FileNotFoundError:
    pass"
                .to_owned(),
            Cause::UnixSocket,
        ),
    ];
    for (way, cause) in ways {
        actor.run(&way);
        let event = node.refusal(cause);
        assert_eq!(event.marks & refusal::OBSERVED, refusal::OBSERVED, "{way}");
    }
}

#[test]
fn a_grant_counts_as_elsewhere_and_is_not_told_of() {
    let mut node = observed();
    let (peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    peer.accept();
    assert_eq!(node.other_refusals(), []);
}

#[test]
fn what_was_let_pass_is_cut_when_the_scope_is_enforced() {
    let mut node = observed();
    let (peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let mut accepted = peer.accept();
    actor.send("one");
    assert_eq!(accepted.receive(3), "one");
    let host = Family::V4.real();
    actor.run(&format!(
        "r = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
r.bind(('{host}', 0))
r.settimeout(0.3)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect(r.getsockname())
u.send(b'x')
assert r.recv(1) == b'x'"
    ));

    set(&mut node, 0);
    actor.send("two");
    node.refusal(Cause::Untagged);
    assert!(accepted.has_nothing());
    assert!(actor.attempt("u.send(b'x') and r.recv(1)").is_err());
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    let event = node.refusal_of(Cause::NoGrant, |event| event.marks & refusal::OBSERVED == 0);
    assert_eq!(event.port, to.port().to_be());
}

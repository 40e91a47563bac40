//! An open flow whose process executes something else: the new image needs a right of its own.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{children, level},
};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::Node,
    peer::{Peer, Stream},
};

/// The socket `s` survives the next execution, by its number.
const KEEP: &str = "os.dup2(s.fileno(), 99, inheritable=True)";
const TAKE_UP: &str = "s = socket.socket(fileno=99)";

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

/// A process that connected and then executed something, which nobody has looked at.
fn taken_over(node: &mut Node, to: &Destination, peer: &Peer) -> (Actor, Stream) {
    let mut actor = node.attested(level::IMAGE);
    actor.connect(to).unwrap();
    let mut accepted = peer.accept();
    actor.send("one");
    assert_eq!(accepted.receive(3), "one");
    actor.run(KEEP);
    actor.execute_again();
    actor.exec_id = node.executed(actor.pid).exec_id;
    actor.run(TAKE_UP);
    (actor, accepted)
}

#[test]
fn a_flow_goes_on_under_an_image_that_has_the_right_to_it() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let (mut actor, mut accepted) = taken_over(&mut node, &to, &peer);
    let principal = node.principal;
    node.attest(&actor, principal, level::IMAGE);
    actor.send("two");
    assert_eq!(accepted.receive(3), "two");
    accepted.send("back");
    assert_eq!(actor.receive(4).unwrap(), "back");
    assert_eq!(node.other_refusals(), []);
}

#[test]
fn a_flow_waits_while_the_new_image_is_looked_at() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let (mut actor, mut accepted) = taken_over(&mut node, &to, &peer);
    actor.send("two");
    assert!(accepted.has_nothing(), "nobody knows yet");
    let principal = node.principal;
    node.attest(&actor, principal, level::IMAGE);
    assert_eq!(accepted.receive(3), "two", "TCP sends it again");
    assert_eq!(node.other_refusals(), [], "a wait is no refusal");
}

#[test]
fn a_flow_stops_under_an_image_that_is_refused_or_not_known_well_enough() {
    for (principal_is_kept, known, cause) in [
        (false, level::NONE, Cause::ImageRefused),
        (true, level::SCOPE, Cause::EvidenceTooLow),
    ] {
        let mut node = Node::start();
        let (peer, to) = host();
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        let (mut actor, accepted) = taken_over(&mut node, &to, &peer);
        let principal = if principal_is_kept { node.principal } else { 0 };
        node.settle(&actor, principal, known, children::NONE);
        actor.send("two");
        node.refusal(cause);
        assert!(accepted.has_nothing(), "{cause:?}");
    }
}

/// The broker knows a connection by the image that made it.
#[test]
fn a_connection_at_the_broker_ends_with_the_image_that_made_it() {
    let mut node = Node::start();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let mut accepted = node.broker.tcp4.accept();
    actor.send("one");
    assert_eq!(accepted.receive(3), "one");
    actor.run(KEEP);
    actor.execute_again();
    actor.exec_id = node.executed(actor.pid).exec_id;
    actor.run(TAKE_UP);
    let principal = node.principal;
    node.attest(&actor, principal, level::IMAGE);
    actor.send("two");
    node.refusal(Cause::ImageRefused);
    assert!(accepted.has_nothing());
}

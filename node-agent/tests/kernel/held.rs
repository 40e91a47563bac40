//! Held connections: what the first packet after a verdict makes of them.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::{Node, now},
    peer::Stream,
    wait::until,
};

/// A held connection of a new process, and its end at the broker.
fn hold(node: &mut Node, to: &Destination) -> (Actor, Stream) {
    let mut actor = node.enter();
    actor.connect(to).unwrap();
    let broker = node.broker.tcp(to.family);
    let accepted = broker.accept();
    let tag = accepted.tag().expect("a tag");
    assert_eq!((tag.carrier, tag.principal), (carrier::HOLD, 0));
    let left = tag.held_until.saturating_sub(now());
    assert!(left > 0 && left <= 10_000_000_000, "{left} ns to wait");
    (actor, accepted)
}

#[test]
fn the_first_packet_after_attestation_ties_it_to_its_grant() {
    let mut node = Node::start();
    for family in Family::ALL {
        let to = family.to(family.imaginary(), 443);
        // Whoever would carry a new connection: this one is at the broker.
        let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
        let (mut actor, mut accepted) = hold(&mut node, &to);
        actor.send("early");
        assert_eq!(
            accepted.receive(5),
            "early",
            "{family:?}: a hold is no loss"
        );
        let principal = node.principal;
        node.attest(&actor, principal, level::IMAGE);
        actor.send("after");
        assert_eq!(accepted.receive(5), "after", "{family:?}");
        let tag = accepted.tag().expect("a tag");
        assert_eq!(tag.carrier, carrier::BROKER, "{family:?}");
        assert_eq!(
            (tag.principal, tag.level, tag.slot),
            (principal, level::IMAGE, slot)
        );
        assert_eq!((tag.address, tag.port), (to.bytes(), to.port().to_be()));
        accepted.send("answer");
        assert_eq!(actor.receive(6).unwrap(), "answer", "{family:?}");

        node.end_at(slot, 0);
        actor.send("too late");
        node.refusal_of(Cause::GrantEnded, |event| event.slot == slot);
        assert!(
            accepted.has_nothing(),
            "{family:?}: a tie ends with its grant"
        );
    }
}

#[test]
fn after_a_refusal_nothing_passes_in_either_direction() {
    let mut node = Node::start();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let (mut actor, mut accepted) = hold(&mut node, &to);
    node.attest(&actor, 0, level::NONE);
    actor.send("secret");
    let event = node.refusal(Cause::ImageRefused);
    assert_eq!((event.exec_id, event.address), (actor.exec_id, to.bytes()));
    assert_eq!(event.port, to.port().to_be());
    assert!(accepted.has_nothing());
    accepted.send("answer");
    actor.run("s.settimeout(0)");
    assert_eq!(actor.attempt("s.recv(1)"), Err("EAGAIN".into()));
}

#[test]
fn an_attested_image_without_that_grant_loses_it() {
    let mut node = Node::start();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let (mut actor, accepted) = hold(&mut node, &to);
    let principal = node.principal;
    node.attest(&actor, principal, level::SCOPE);
    actor.send("secret");
    let event = node.refusal(Cause::EvidenceTooLow);
    assert_eq!((event.scope, event.address), (node.scope, to.bytes()));
    assert!(accepted.has_nothing());
}

#[test]
fn a_hold_ends_by_itself() {
    let mut node = Node::start();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let (mut actor, mut accepted) = hold(&mut node, &to);
    let held_until = accepted.tag().expect("a tag").held_until;
    actor.send("early");
    assert_eq!(accepted.receive(5), "early");
    until("the hold is over", || (now() > held_until).then_some(()));
    actor.send("late");
    let event = node.refusal(Cause::HeldTooLong);
    assert!(event.at >= held_until);
    assert!(accepted.has_nothing());
}

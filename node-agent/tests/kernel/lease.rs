//! The lease: what a node may open, while whoever decides is heard.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    destination::{Destination, Family},
    node::{NEVER, Node, now},
    peer::Peer,
    wait::until,
};

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

#[test]
fn nothing_is_granted_without_a_lease_and_a_new_one_opens_again() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    for ended in [0, now()] {
        node.maps().set_lease(ended).unwrap();
        assert_eq!(actor.connect(&to), Err("EPERM".into()));
        node.refusal(Cause::LeaseEnded);
        assert!(peer.has_nobody());
    }
    node.maps().set_lease(NEVER).unwrap();
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn an_open_flow_stops_with_the_lease_and_goes_on_with_a_new_one() {
    let mut node = Node::start();
    let (peer, to) = host();
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let mut accepted = peer.accept();
    actor.send("one");
    assert_eq!(accepted.receive(3), "one");

    node.maps().set_lease(now()).unwrap();
    actor.send("two");
    let event = node.refusal(Cause::LeaseEnded);
    assert_eq!(event.slot, slot);
    assert!(accepted.has_nothing());
    node.maps().set_lease(NEVER).unwrap();
    // What was lost on its way is sent again, as everything that TCP loses.
    assert_eq!(accepted.receive(3), "two");
}

/// The kernel's own clock ends it; nobody does anything at that moment.
#[test]
fn a_lease_ends_by_itself() {
    let mut node = Node::start();
    let (peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    let end = now() + 700_000_000;
    node.maps().set_lease(end).unwrap();
    until("the lease has ended", || {
        let before = now();
        let answer = actor.connect(&to);
        let after = now();
        match answer {
            Ok(()) => {
                assert!(before < end, "granted after its end");
                peer.accept();
                None
            }
            Err(error) => {
                assert!(after >= end, "{error} before its end");
                Some(())
            }
        }
    });
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    assert!(peer.has_nobody());
    node.refusal(Cause::LeaseEnded);
}

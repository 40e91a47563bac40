//! Levels and slots: which grant counts, and when its slot is worth nothing.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::{Grant, SLOTS, carrier},
    process::level,
};

use super::{
    destination::{Destination, Family},
    node::{NEVER, Node},
    peer::Peer,
};

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

#[test]
fn a_grant_at_one_level_is_none_at_another() {
    let mut node = Node::start();
    for granted in [level::SCOPE, level::LINEAGE, level::IMAGE] {
        let (peer, to) = host();
        node.grant(granted, &to, carrier::DIRECT);
        for shown in [level::SCOPE, level::LINEAGE, level::IMAGE] {
            let mut actor = node.attested(shown);
            if shown == granted {
                actor.connect(&to).unwrap();
                peer.accept();
            } else {
                assert_eq!(
                    actor.connect(&to),
                    Err("EPERM".into()),
                    "{shown} for {granted}"
                );
                let cause = if shown < granted {
                    Cause::EvidenceTooLow
                } else {
                    Cause::NoGrant
                };
                node.refusal(cause);
            }
        }
    }
}

#[test]
fn grants_that_overlap_at_two_levels_end_each_by_itself() {
    let mut node = Node::start();
    let (peer, to) = host();
    let weak = node.grant(level::SCOPE, &to, carrier::DIRECT);
    let strong = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let (mut some, mut listed) = (node.attested(level::SCOPE), node.attested(level::IMAGE));
    some.connect(&to).unwrap();
    let of_some = peer.accept();
    listed.connect(&to).unwrap();
    let mut of_listed = peer.accept();

    node.end_at(weak, 0);
    some.send("lost");
    let event = node.refusal_of(Cause::GrantEnded, |event| event.slot == weak);
    assert_eq!(event.exec_id, some.exec_id);
    assert!(of_some.has_nothing());
    listed.send("still");
    assert_eq!(of_listed.receive(5), "still");
    listed.connect(&to).unwrap();

    node.end_at(weak, NEVER);
    node.end_at(strong, 0);
    some.connect(&to).unwrap();
    assert_eq!(listed.connect(&to), Err("EPERM".into()));
}

#[test]
fn a_slot_whose_deadline_is_past_opens_nothing() {
    let mut node = Node::start();
    let (peer, to) = host();
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    for past in [0, 1, super::node::now()] {
        node.end_at(slot, past);
        assert_eq!(actor.connect(&to), Err("EPERM".into()));
        let event = node.refusal(Cause::GrantEnded);
        assert_eq!((event.address, event.port), (to.bytes(), to.port().to_be()));
    }
    assert!(peer.has_nobody());
    node.end_at(slot, super::node::now() + 60_000_000_000);
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn a_connection_of_a_slots_earlier_use_is_worth_nothing() {
    let mut node = Node::start();
    let (peer, to) = host();
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let mut accepted = peer.accept();
    actor.send("before");
    assert_eq!(accepted.receive(6), "before");

    node.reuse(slot);
    actor.send("after");
    let event = node.refusal_of(Cause::GrantEnded, |event| event.slot == slot);
    assert_eq!((event.exec_id, event.tgid), (actor.exec_id, actor.pid));
    assert!(accepted.has_nothing(), "the slot is open, and for another");
    actor.connect(&to).unwrap();
    actor.send("anew");
    assert_eq!(peer.accept().receive(4), "anew");
}

#[test]
fn a_grant_without_a_slot_of_this_node_opens_nothing() {
    let mut node = Node::start();
    let (peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    let key = node.key(&to);
    for slot in [0, SLOTS, u32::MAX] {
        let grant = Grant {
            slots: [0, 0, slot],
            carrier: u32::from(carrier::DIRECT),
        };
        node.maps().set_grant(key, grant).unwrap();
        assert_eq!(actor.connect(&to), Err("EPERM".into()), "slot {slot}");
        let is_none = slot == 0;
        node.refusal(if is_none {
            Cause::NoGrant
        } else {
            Cause::GrantEnded
        });
    }
    assert!(peer.has_nobody());
}

#[test]
fn a_grant_that_nobody_carries_passes_nothing() {
    let mut node = Node::start();
    let (peer, to) = host();
    let mut actor = node.attested(level::IMAGE);
    node.grant(level::IMAGE, &to, carrier::NONE);
    actor.run("socket.setdefaulttimeout(0.2)");
    assert!(actor.connect(&to).is_err());
    assert!(peer.has_nobody());
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn another_principals_grant_is_no_grant() {
    let mut node = Node::start();
    let (_peer, to) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut other = node.enter();
    let principal = node.principal + 1;
    node.attest(&other, principal, level::IMAGE);
    assert_eq!(other.connect(&to), Err("EPERM".into()));
    node.refusal(Cause::NoGrant);
    let mut own = node.attested(level::IMAGE);
    own.connect(&to).unwrap();
}

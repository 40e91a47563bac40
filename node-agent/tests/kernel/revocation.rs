//! The end of a grant while something uses it.

use std::io::ErrorKind;

use lanyard_node_agent::kernel::sever;
use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::{NEVER, Node},
    peer::{Peer, Stream},
};

/// A connection that a grant carries, its other end, and the grant's slot.
struct Open {
    actor: Actor,
    accepted: Stream,
    slot: u32,
    to: Destination,
}

fn direct(node: &mut Node, family: Family) -> Open {
    let peer = Peer::at(family.real());
    let to = family.to(family.real(), peer.port());
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let accepted = peer.accept();
    Open {
        actor,
        accepted,
        slot,
        to,
    }
}

fn brokered(node: &mut Node, family: Family) -> Open {
    let to = family.to(family.imaginary(), 443);
    let slot = node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut actor = node.attested(level::IMAGE);
    actor.connect(&to).unwrap();
    let broker = node.broker.tcp(family);
    let accepted = broker.accept();
    Open {
        actor,
        accepted,
        slot,
        to,
    }
}

#[test]
fn nothing_arrives_after_a_revocation() {
    let mut node = Node::start();
    for open in [direct, brokered] {
        for family in Family::ALL {
            let Open {
                mut actor,
                mut accepted,
                slot,
                to,
            } = open(&mut node, family);
            actor.send("before");
            assert_eq!(accepted.receive(6), "before");
            node.end_at(slot, 0);
            actor.send("after");
            let event = node.refusal_of(Cause::GrantEnded, |event| event.slot == slot);
            assert_eq!(
                (event.tgid, event.address),
                (actor.pid, to.bytes()),
                "{family:?}"
            );
            assert!(accepted.has_nothing(), "{family:?}");
        }
    }
}

#[test]
fn nothing_is_received_after_a_revocation() {
    let mut node = Node::start();
    for open in [direct, brokered] {
        for family in Family::ALL {
            let Open {
                mut actor,
                mut accepted,
                slot,
                ..
            } = open(&mut node, family);
            accepted.send("before");
            assert_eq!(actor.receive(6).unwrap(), "before");
            node.end_at(slot, 0);
            accepted.send("after");
            node.refusal_of(Cause::GrantEnded, |event| event.slot == slot);
            actor.run("s.settimeout(0)");
            assert_eq!(
                actor.attempt("s.recv(1)"),
                Err("EAGAIN".into()),
                "{family:?}"
            );
        }
    }
}

#[test]
fn the_end_of_one_grant_leaves_the_others() {
    let mut node = Node::start();
    let mut ended = direct(&mut node, Family::V4);
    let mut other = direct(&mut node, Family::V4);
    node.end_at(ended.slot, 0);
    ended.actor.send("lost");
    node.refusal(Cause::GrantEnded);
    other.actor.send("kept");
    assert_eq!(other.accepted.receive(4), "kept");
    assert!(ended.accepted.has_nothing());
}

#[test]
fn a_severed_connection_ends_at_once_for_both() {
    let mut node = Node::start();
    for family in Family::ALL {
        let Open {
            mut actor,
            mut accepted,
            slot,
            to,
        } = direct(&mut node, family);
        let flow = node.flow(&to);
        assert_eq!((flow.slot, flow.tgid), (slot, actor.pid), "{family:?}");
        actor.begin("s.recv(1)");
        node.end_at(slot, 0);
        assert!(sever::destroy(&flow).unwrap(), "{family:?}");
        assert_eq!(actor.finish(), Err("ECONNABORTED".into()), "{family:?}");
        assert_eq!(
            accepted.end(),
            Some(ErrorKind::ConnectionReset),
            "{family:?}"
        );
        assert!(
            !sever::destroy(&flow).unwrap(),
            "{family:?}: it is gone already"
        );
    }
}

#[test]
fn a_severed_connection_at_the_broker_ends_for_the_client() {
    let mut node = Node::start();
    for family in Family::ALL {
        let Open {
            mut actor,
            mut accepted,
            slot,
            to,
        } = brokered(&mut node, family);
        let flow = node.flow(&to);
        actor.begin("s.recv(1)");
        node.end_at(slot, 0);
        assert!(sever::destroy(&flow).unwrap(), "{family:?}");
        assert_eq!(actor.finish(), Err("ECONNABORTED".into()), "{family:?}");
        assert_eq!(
            accepted.end(),
            Some(ErrorKind::ConnectionReset),
            "{family:?}"
        );
    }
}

#[test]
fn only_the_very_connection_is_severed() {
    let mut node = Node::start();
    let mut open = direct(&mut node, Family::V4);
    let mut flow = node.flow(&open.to);
    flow.cookie += 1;
    assert!(
        !sever::destroy(&flow).unwrap(),
        "another socket took its ports"
    );
    open.actor.send("alive");
    assert_eq!(open.accepted.receive(5), "alive");
}

#[test]
fn an_end_by_the_program_itself_is_no_way_out_for_data() {
    let mut node = Node::start();
    let Open {
        mut actor,
        accepted,
        slot,
        ..
    } = direct(&mut node, Family::V4);
    node.end_at(slot, 0);
    actor.send("secret");
    node.refusal(Cause::GrantEnded);
    actor.run("s.shutdown(socket.SHUT_WR)");
    assert!(
        accepted.has_nothing(),
        "neither the data nor an orderly end"
    );
}

#[test]
fn an_ended_grant_that_comes_back_does_not_bring_back_a_severed_connection() {
    let mut node = Node::start();
    let Open {
        mut actor,
        mut accepted,
        slot,
        to,
    } = direct(&mut node, Family::V4);
    let flow = node.flow(&to);
    node.end_at(slot, 0);
    assert!(sever::destroy(&flow).unwrap());
    node.end_at(slot, NEVER);
    assert_eq!(
        actor.attempt("s.send(b'again')"),
        Err("ECONNABORTED".into())
    );
    assert_eq!(accepted.end(), Some(ErrorKind::ConnectionReset));
}

#[test]
fn an_image_that_is_refused_later_loses_what_it_has() {
    let mut node = Node::start();
    for open in [direct, brokered] {
        for family in Family::ALL {
            let Open {
                mut actor,
                mut accepted,
                slot,
                ..
            } = open(&mut node, family);
            actor.send("before");
            assert_eq!(accepted.receive(6), "before");
            node.attest(&actor, 0, level::NONE);
            actor.send("after");
            let event = node.refusal_of(Cause::ImageRefused, |event| event.slot == slot);
            assert_eq!(event.exec_id, actor.exec_id, "{family:?}");
            assert!(accepted.has_nothing(), "{family:?}");
        }
    }
}

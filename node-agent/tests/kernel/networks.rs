//! Grants for networks: by the longest prefix, and never to this machine itself.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::{Grant, carrier},
    process::level,
};

use super::{
    actor::Actor,
    destination::{Destination, Family},
    node::Node,
    peer::Peer,
};

/// Bits before an IPv4 address in its IPv6 clothes.
const MAPPED: u32 = 96;

fn host(family: Family) -> (Peer, Destination) {
    let peer = Peer::at(family.real());
    let to = family.to(family.real(), peer.port());
    (peer, to)
}

/// Grants everything that begins as `to` does, at one level.
fn grant(node: &mut Node, level: u8, to: &Destination, bits: u32) -> u32 {
    let slot = node.new_slot();
    let mut grant = Grant {
        carrier: u32::from(carrier::DIRECT),
        ..Grant::ZERO
    };
    grant.slots[usize::from(level - level::SCOPE)] = slot;
    let key = node.key(to);
    node.maps().set_network(key, bits, grant).unwrap();
    slot
}

fn refused(actor: &mut Actor, to: &Destination) {
    assert_eq!(actor.connect(to), Err("EPERM".into()), "{to:?}");
}

#[test]
fn what_lies_in_a_network_is_reached_at_its_port_and_nothing_else() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for (family, inside, outside) in [
        (Family::V4, MAPPED + 24, "10.99.1.0"),
        (Family::Mapped, MAPPED + 31, "10.99.0.2"),
        (Family::V6, 64, "fd9a::"),
    ] {
        let (peer, to) = host(family);
        refused(&mut actor, &to);
        node.refusal(Cause::NoGrant);
        let elsewhere = family.to(outside.parse().unwrap(), to.port());
        grant(&mut node, level::IMAGE, &elsewhere, inside);
        refused(&mut actor, &to);
        grant(&mut node, level::IMAGE, &to, inside);
        actor.connect(&to).unwrap();
        peer.accept();
        let (other, other_port) = host(family);
        refused(&mut actor, &other_port);
        assert!(other.has_nobody());
    }
}

#[test]
fn of_two_networks_the_narrower_one_counts_and_an_address_before_both() {
    let mut node = Node::start();
    let (peer, to) = host(Family::V4);
    let mut actor = node.attested(level::IMAGE);
    grant(&mut node, level::IMAGE, &to, MAPPED + 8);
    actor.connect(&to).unwrap();
    peer.accept();
    let narrow = grant(&mut node, level::IMAGE, &to, MAPPED + 24);
    node.end_at(narrow, 0);
    refused(&mut actor, &to);
    let event = node.refusal(Cause::GrantEnded);
    assert_eq!(event.port, to.port().to_be());
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn a_network_is_granted_at_a_level_too() {
    let mut node = Node::start();
    let (peer, to) = host(Family::V4);
    grant(&mut node, level::LINEAGE, &to, MAPPED + 24);
    let mut known = node.attested(level::LINEAGE);
    let mut less_known = node.attested(level::SCOPE);
    known.connect(&to).unwrap();
    peer.accept();
    refused(&mut less_known, &to);
    node.refusal(Cause::EvidenceTooLow);
}

/// What a network's grant never means: loopback, what clouds keep at link-local addresses, virtual addresses.
#[test]
fn the_whole_internet_is_not_this_machine() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let listener = Peer::at("127.0.0.1".parse().unwrap());
    for (family, own) in [
        (Family::V4, "127.0.0.1"),
        (Family::V4, "169.254.169.254"),
        (Family::V4, "198.19.0.7"),
        (Family::V6, "fd6c:616e:7961:7264::7"),
        (Family::V6, "fe80::1"),
    ] {
        let to = family.to(own.parse().unwrap(), listener.port());
        grant(&mut node, level::IMAGE, &to, 0);
        refused(&mut actor, &to);
    }
    assert!(listener.has_nobody());
    let (peer, mut to) = host(Family::V4);
    refused(&mut actor, &to);
    to.address.set_port(listener.port());
    let same_port = Peer::at_port(Family::V4.real(), listener.port());
    actor.connect(&to).unwrap();
    same_port.accept();
    assert!(peer.has_nobody(), "another port is granted");
}

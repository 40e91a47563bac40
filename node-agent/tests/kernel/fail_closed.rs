//! What is missing means no.

use std::{fs, path::Path};

use aya::maps::{HashMap, Map, MapData};
use lanyard_node_agent::kernel::Kernel;
use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{Image, ScopeSettings, flags, level},
};

use super::{
    actor::python,
    destination::{Destination, Family},
    node::{Node, armed},
    peer::Peer,
};

fn host(family: Family) -> (Peer, Destination) {
    let peer = Peer::at(family.real());
    let to = family.to(family.real(), peer.port());
    (peer, to)
}

/// Fills a pinned map with entries that mean nothing.
fn fill<V: aya::Pod>(node: &Node, name: &str, keys: impl Iterator<Item = u32>, value: V) {
    let pinned = MapData::from_pin(Kernel::pins(node.name()).map(name)).unwrap();
    let mut map = HashMap::<_, u32, V>::try_from(Map::HashMap(pinned)).unwrap();
    for key in keys {
        if map.insert(key, value, 0).is_err() {
            return;
        }
    }
    panic!("{name} took everything");
}

#[test]
fn without_a_broker_nothing_is_carried() {
    let mut node = Node::start();
    let mut inside = [node.attested(level::IMAGE), node.enter()];
    let scope = node.scope;
    node.maps()
        .set_settings(scope, ScopeSettings::ZERO)
        .unwrap();
    for family in Family::ALL {
        let to = family.to(family.imaginary(), 443);
        node.grant(level::IMAGE, &to, carrier::BROKER);
        for actor in &mut inside {
            assert_eq!(actor.connect(&to), Err("EPERM".into()), "{family:?}");
            let event = node.refusal(Cause::NoBroker);
            assert_eq!(
                (event.tgid, event.address),
                (actor.pid, to.bytes()),
                "{family:?}"
            );
            let host = to.host();
            for ask in [
                format!(
                    "socket.socket(family({host:?}), socket.SOCK_DGRAM).sendto(b'?', ({host:?}, 53))"
                ),
                format!("connect({host:?}, 53, socket.SOCK_DGRAM)"),
            ] {
                assert_eq!(
                    actor.attempt(&ask),
                    Err("EPERM".into()),
                    "{family:?}: {ask}"
                );
                node.refusal(Cause::NoBroker);
            }
        }
    }
}

#[test]
fn without_a_broker_for_ipv6_only_ipv6_is_refused() {
    let mut node = Node::start();
    let mut actor = node.enter();
    let ports = ScopeSettings {
        tcp6: 0,
        dns6: 0,
        ..node.broker.ports()
    };
    let scope = node.scope;
    node.maps().set_settings(scope, ports).unwrap();
    for family in Family::ALL {
        let to = family.to(family.imaginary(), 443);
        node.grant(level::IMAGE, &to, carrier::BROKER);
        let connected = actor.connect(&to);
        assert_eq!(connected.is_ok(), family != Family::V6, "{family:?}");
    }
    node.refusal(Cause::NoBroker);
}

#[test]
fn a_direct_grant_needs_no_broker() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let scope = node.scope;
    node.maps()
        .set_settings(scope, ScopeSettings::ZERO)
        .unwrap();
    let (peer, to) = host(Family::V4);
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn a_process_that_found_no_room_is_refused() {
    let mut node = Node::start();
    let (peer, to) = host(Family::V4);
    for every in [level::SCOPE, level::LINEAGE, level::IMAGE] {
        node.grant(every, &to, carrier::DIRECT);
    }
    let mut before = node.attested(level::IMAGE);
    // No process ever has these numbers (PID_MAX_LIMIT).
    fill(&node, "PROC", 1 << 23.., [0_u64; 2]);
    let gate = node.gate();
    let mut late = gate.open();
    assert!(node.refusals(Cause::MapFull) > 0);
    assert_eq!(node.maps().process(late.pid), None);
    assert_eq!(late.connect(&to), Err("EPERM".into()));
    let event = node.refusal(Cause::NoProcess);
    assert_eq!((event.tgid, event.scope), (late.pid, node.scope));
    // Who was there before goes on; its new children find no room.
    before.connect(&to).unwrap();
    peer.accept();
    let code = format!("connect({:?}, {}) and None", to.host(), to.port());
    assert_eq!(
        before.attempt(&format!("child({code:?})")),
        Err("EPERM".into())
    );
}

#[test]
fn a_full_list_of_armed_processes_is_an_error_and_forgets_nobody() {
    let mut node = Node::start();
    let gate = node.gate();
    let file = armed(python());
    node.maps().arm(gate.pid(), file).unwrap();
    let refused = (1 << 23..1 << 24).find_map(|tgid| node.maps().arm(tgid, file).err());
    let message = refused.expect("it took everything").to_string();
    assert!(message.starts_with("write map ARMED: "), "{message}");
    let actor = node.pass(gate);
    let marks = node.maps().process(actor.pid).unwrap().flags;
    assert_eq!(marks & !flags::UNCONFINED, flags::ROOTED);
}

#[test]
fn an_image_that_has_ended_is_not_attested() {
    let mut node = Node::start();
    let actor = node.enter();
    let exec_id = actor.exec_id;
    actor.end();
    node.ended(exec_id);
    let image = Image {
        principal: 1,
        level: level::IMAGE,
        children: 0,
        settled: 1,
        reserved: 0,
    };
    assert!(!node.maps().attest(exec_id, image).unwrap());
    assert!(node.maps().images().is_empty());
}

#[test]
fn programs_that_cannot_be_attached_leave_nothing_behind() {
    let node = Node::start();
    let name = format!("{}-nowhere", node.name());
    let folder = tempfile::tempdir().unwrap();
    let opened = Kernel::open(&name, folder.path());
    assert!(opened.is_err());
    assert!(!Kernel::pins(&name).is_anything_there());
    let missing = Kernel::open(&name, Path::new("/no/such/cgroup"));
    assert!(missing.is_err());
    assert!(!Kernel::pins(&name).is_anything_there());
    assert!(fs::exists(Kernel::pins(node.name()).map("PROC")).unwrap());
}

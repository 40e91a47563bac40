//! Connections and datagrams towards a scope.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};
use serde_json::json;

use super::{
    actor::Actor,
    destination::Family,
    node::Node,
    peer::{Peer, reach},
};

const LISTEN: &str = "listener = socket.create_server(('10.99.0.1', 0))";

fn port(actor: &mut Actor, socket: &str) -> u16 {
    let port = actor.run(&format!("{socket}.getsockname()[1]"));
    u16::try_from(port.as_u64().unwrap()).unwrap()
}

#[test]
fn a_listener_in_a_scope_is_reached_by_nobody() {
    let mut node = Node::start();
    let (mut inside, mut outside, mut caller) =
        (node.attested(level::IMAGE), node.outside(), node.outside());
    inside.run(LISTEN);
    outside.run(LISTEN);
    inside.run("listener.settimeout(0)");
    let to = Family::V4.to(Family::V4.real(), port(&mut outside, "listener"));
    caller.connect(&to).unwrap();

    let closed = port(&mut inside, "listener");
    caller.run("c = socket.socket()\nc.settimeout(0)");
    let code = format!("c.connect_ex(('10.99.0.1', {closed})) == errno.EINPROGRESS");
    assert_eq!(caller.run(&code), json!(true));
    assert_eq!(node.refusal(Cause::Untagged).tgid, inside.pid);
    assert_eq!(inside.attempt("listener.accept()"), Err("EAGAIN".into()));
}

#[test]
fn a_datagram_to_a_scope_arrives_at_nobody() {
    let mut node = Node::start();
    let (mut inside, mut outside) = (node.attested(level::IMAGE), node.outside());
    inside.run(
        "s = socket.socket(type=socket.SOCK_DGRAM)\ns.bind(('10.99.0.1', 0))\ns.settimeout(0)",
    );
    let to = port(&mut inside, "s");
    outside.run(&format!(
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', ('10.99.0.1', {to}))"
    ));
    assert_eq!(node.refusal(Cause::Untagged).tgid, inside.pid);
    assert_eq!(inside.attempt("s.recv(100)"), Err("EAGAIN".into()));
}

#[test]
fn a_port_that_a_scope_took_first_does_not_lead_it_to_a_host() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    actor.run(
        "s = socket.socket()\ns.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\ns.bind(('127.0.0.1', 0))",
    );
    let taken = port(&mut actor, "s");
    let mut daemon = node.outside();
    daemon.run(&format!(
        "listener = socket.create_server(('127.0.0.1', {taken}))\nlistener.settimeout(0)"
    ));
    let to = Family::V4.to("127.0.0.1".parse().unwrap(), taken);
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    node.refusal(Cause::NoGrant);
    assert_eq!(daemon.attempt("listener.accept()"), Err("EAGAIN".into()));
    reach(to.address).unwrap();
    daemon.run("listener.accept() and None");
}

#[test]
fn the_brokers_own_port_is_no_way_around_a_verdict() {
    let mut node = Node::start();
    let at_broker = Family::V4.to("127.0.0.1".parse().unwrap(), node.broker.tcp4.port());
    let mut refused = node.refused();
    assert_eq!(refused.connect(&at_broker), Err("EPERM".into()));
    let mut attested = node.attested(level::IMAGE);
    assert_eq!(attested.connect(&at_broker), Err("EPERM".into()));
    let mut held = node.enter();
    held.connect(&at_broker).unwrap();
    // It comes as what it is: a wish to reach that port, by an image that nobody attested.
    let tag = node.broker.tcp4.accept().tag().expect("a tag");
    assert_eq!(
        (tag.carrier, tag.address),
        (carrier::HOLD, at_broker.bytes())
    );
    assert!(node.broker.tcp4.has_nobody());
}

#[test]
fn two_processes_of_a_scope_do_not_meet_on_loopback_without_a_grant() {
    let mut node = Node::start();
    let (mut one, mut other) = (node.attested(level::IMAGE), node.attested(level::IMAGE));
    one.run("listener = socket.create_server(('127.0.0.1', 0))");
    let to = Family::V4.to("127.0.0.1".parse().unwrap(), port(&mut one, "listener"));
    assert_eq!(other.connect(&to), Err("EPERM".into()));
    assert_eq!(
        one.connect(&to),
        Err("EPERM".into()),
        "not even with itself"
    );
    let host = Peer::at("127.0.0.1".parse().unwrap());
    let granted = Family::V4.to("127.0.0.1".parse().unwrap(), host.port());
    node.grant(level::IMAGE, &granted, carrier::DIRECT);
    other.connect(&granted).unwrap();
    host.accept();
}

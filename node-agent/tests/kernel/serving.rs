//! The sockets of a scope's broker: whom they hear, and what is left for them when a connection never comes to be.

use std::{net::Ipv4Addr, os::fd::AsFd as _};

use lanyard_node_agent_abi::{grant::carrier, process::level};

use super::{destination::Family, node::Node, peer::Broker, wait::until};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Says that only the node's scope is heard by its broker, as a node agent does.
fn keep(node: &mut Node) {
    let scope = node.scope;
    let Broker { tcp4, dns4, .. } = &node.broker;
    let sockets = [
        (tcp4.descriptor().unwrap(), TCP),
        (dns4.descriptor().unwrap(), UDP),
    ];
    for (socket, protocol) in &sockets {
        let kept = node.maps().keep_server((socket.as_fd(), *protocol), scope);
        kept.unwrap();
    }
}

#[test]
fn a_resolver_hears_its_own_scope_and_nobody_else() {
    let mut node = Node::start();
    keep(&mut node);
    let mut outside = node.outside();
    let mut actor = node.attested(level::IMAGE);
    let port = node.broker.dns4.address().port();
    outside.run(&format!(
        "q = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nq.sendto(b'from outside', ('127.0.0.1', {port}))"
    ));
    actor.run("q = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nq.sendto(b'from inside', ('10.99.0.53', 53))");
    let (question, from) = node.broker.dns4.receive();
    assert_eq!(question, "from inside", "the other came before");
    node.broker.dns4.answer("answer", from);
    assert_eq!(actor.run("q.recv(100).decode()"), "answer");
}

#[test]
fn a_broker_accepts_from_its_own_scope_and_nobody_else() {
    let mut node = Node::start();
    keep(&mut node);
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut outside = node.outside();
    let mut actor = node.attested(level::IMAGE);
    let port = node.broker.tcp4.port();
    outside.run("socket.setdefaulttimeout(0.5)");
    let asked = outside.attempt(&format!("connect('127.0.0.1', {port}) and None"));
    assert_eq!(asked, Err("TIMEOUT".into()));
    assert!(node.broker.tcp4.has_nobody());
    actor.connect(&to).unwrap();
    assert!(node.broker.tcp4.accept().tag().is_some());
}

/// The broker is full, or slow: the client gives up before it is accepted, and another process gets its port.
#[test]
fn a_tag_that_was_not_taken_up_is_not_there_for_the_next_of_the_same_port() {
    let mut node = Node::start();
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    let mut actor = node.attested(level::IMAGE);
    let (host, port) = (Ipv4Addr::LOCALHOST, node.broker.tcp4.port());
    for _ in 0..20 {
        actor.connect(&to).unwrap();
        let own = actor.run("s.getsockname()[1]");
        // A reset, so that the port is free at once.
        actor.run("s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')\ns.close()");
        let scope = node.scope;
        until("what was handed over is given back", || {
            let usage = node.maps().usage(scope).unwrap();
            (usage.handovers == 0).then_some(())
        });
        let mut outside = node.outside();
        outside.run(&format!(
            "s = socket.socket(socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('{host}', {own}))
s.connect(('{host}', {port}))"
        ));
        let first = node.broker.tcp4.accept();
        let second = node.broker.tcp4.accept();
        assert!(first.tag().is_none_or(|tag| tag.tgid == actor.pid));
        assert_eq!(second.tag(), None, "whoever has the port now");
    }
}

//! `bind(2)`: ports of brokers belong to them, whoever asks, and whether they are there or not.

use lanyard_node_agent_abi::{cause::Cause, process::level};

use super::node::Node;

#[test]
fn a_brokers_port_is_taken_by_nobody_also_while_everything_is_dead() {
    let mut node = Node::start();
    let (mut inside, mut outside) = (node.attested(level::IMAGE), node.outside());
    let settings = node.broker.ports();
    node.agent_dies();
    // As when broker and node agent end: their sockets are closed.
    node.broker = super::peer::Broker::listen();
    for (port, ip, kind) in [
        (settings.tcp4, "127.0.0.1", "SOCK_STREAM"),
        (settings.tcp6, "::1", "SOCK_STREAM"),
        (settings.dns4, "0.0.0.0", "SOCK_DGRAM"),
        (settings.dns6, "::", "SOCK_DGRAM"),
    ] {
        let bind = |port: u16| {
            format!(
                "s = socket.socket(family({ip:?}), socket.{kind})\ns.bind(({ip:?}, {port}))\ns.close()"
            )
        };
        let port = u16::from_be(port);
        for actor in [&mut inside, &mut outside] {
            assert_eq!(
                actor.attempt(&bind(port)),
                Err("EADDRINUSE".into()),
                "{ip} {port}"
            );
            actor.run(&bind(0));
        }
    }
    assert!(node.agent_starts());
    node.refusal(Cause::BrokerPort);
    let scope = node.scope;
    node.maps().forget_scope(scope).unwrap();
    outside.run(&format!(
        "s = socket.socket()\ns.bind(('127.0.0.1', {}))",
        u16::from_be(settings.tcp4)
    ));
}

/// A pod has a network namespace of its own, and so has its broker ports of its own.
#[test]
fn a_brokers_port_is_free_in_another_network_namespace() {
    let mut node = Node::start();
    let port = u16::from_be(node.broker.ports().tcp4);
    let bind = format!("s = socket.socket()\ns.bind(('127.0.0.1', {port}))");
    let mut here = node.outside();
    assert_eq!(here.attempt(&bind), Err("EADDRINUSE".into()));
    let mut elsewhere = node.outside();
    elsewhere.run("import ctypes\nassert ctypes.CDLL(None).unshare(0x40000000) == 0");
    elsewhere.run(&bind);
    assert_eq!(node.refusals(Cause::BrokerPort), 1);
}

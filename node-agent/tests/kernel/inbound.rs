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
    let to = Family::V4.to("127.0.0.1".parse().unwrap(), taken);
    assert_eq!(
        actor.connect(&to),
        Err("ECONNREFUSED".into()),
        "nobody listens"
    );
    let mut daemon = node.outside();
    daemon.run(&format!(
        "listener = socket.create_server(('127.0.0.1', {taken}))\nlistener.settimeout(0)"
    ));
    assert_eq!(actor.connect(&to), Err("EPERM".into()));
    node.refusal(Cause::OtherListener);
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
    node.refusal(Cause::OtherListener);
    let mut new = node.enter();
    assert_eq!(new.connect(&at_broker), Err("EPERM".into()));
    assert!(node.broker.tcp4.has_nobody());
}

#[test]
fn processes_of_a_scope_meet_on_loopback_and_meet_nobody_else_there() {
    let mut node = Node::start();
    let (mut one, mut other) = (node.attested(level::IMAGE), node.enter());
    for (listen, ip) in [
        ("('127.0.0.1', 0)", "127.0.0.1"),
        ("('0.0.0.0', 0)", "127.0.0.2"),
        ("('0.0.0.0', 0)", "0.0.0.0"),
        ("('::1', 0), family=socket.AF_INET6", "::1"),
        ("('::', 0), family=socket.AF_INET6", "::"),
    ] {
        one.run(&format!("listener = socket.create_server({listen})"));
        let family = if ip.contains(':') {
            Family::V6
        } else {
            Family::V4
        };
        let to = family.to(ip.parse().unwrap(), port(&mut one, "listener"));
        other.connect(&to).unwrap();
        other.run("s.settimeout(20)");
        one.run("accepted = listener.accept()[0]\naccepted.settimeout(20)");
        other.send("hello");
        assert_eq!(one.run("accepted.recv(5).decode()"), json!("hello"), "{ip}");
        one.run("accepted.sendall(b'answer')\naccepted.close()");
        assert_eq!(other.receive(6).unwrap(), "answer", "{ip}");
        assert_eq!(other.run("s.recv(1).decode()"), json!(""), "{ip}: its end");
    }
    let host = Peer::at("127.0.0.1".parse().unwrap());
    let outside = Family::V4.to("127.0.0.1".parse().unwrap(), host.port());
    assert_eq!(one.connect(&outside), Err("EPERM".into()));
    node.refusal(Cause::OtherListener);
    assert!(host.has_nobody());
    node.grant(level::IMAGE, &outside, carrier::DIRECT);
    one.connect(&outside).unwrap();
    host.accept();
}

/// Of a group of listeners on one port the kernel chooses by both ends of a connection, not by who asked first.
#[test]
fn a_scope_that_joins_a_hosts_group_of_listeners_never_reaches_the_host() {
    const GROUP: &str = "listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(('127.0.0.1', NUMBER))
listener.listen(64)
listener.settimeout(0)";
    let mut node = Node::start();
    let (mut inside, mut outside) = (node.attested(level::IMAGE), node.outside());
    outside.run(&GROUP.replace("NUMBER", "0"));
    let shared = port(&mut outside, "listener");
    inside.run(&GROUP.replace("NUMBER", &shared.to_string()));
    let tries = format!(
        "reached = 0
for _ in range(24):
    s = socket.socket()
    s.settimeout(0.2)
    reached += s.connect_ex(('127.0.0.1', {shared})) == 0
    s.close()"
    );
    inside.run(&tries);
    assert_eq!(outside.attempt("listener.accept()"), Err("EAGAIN".into()));
    // Alone there, it reaches itself.
    outside.run("listener.close()");
    let to = Family::V4.to("127.0.0.1".parse().unwrap(), shared);
    inside.connect(&to).unwrap();
}

#[test]
fn datagrams_of_a_scope_meet_on_loopback_and_meet_nobody_else_there() {
    const BIND: &str = "u = socket.socket(type=socket.SOCK_DGRAM)
u.bind(('127.0.0.1', 0))
u.settimeout(20)";
    let mut node = Node::start();
    let (mut one, mut other, mut outside) =
        (node.attested(level::IMAGE), node.enter(), node.outside());
    one.run(BIND);
    other.run(BIND);
    outside.run(BIND);
    let (here, there) = (port(&mut one, "u"), port(&mut outside, "u"));
    other.run(&format!("u.sendto(b'hello', ('127.0.0.1', {here}))"));
    one.run("text, sender = u.recvfrom(100)");
    assert_eq!(one.run("text.decode()"), json!("hello"));
    one.run("u.sendto(b'answer', sender)");
    assert_eq!(other.run("u.recv(100).decode()"), json!("answer"));
    let wrong = format!("u.sendto(b'out', ('127.0.0.1', {there}))");
    assert_eq!(other.attempt(&wrong), Err("EPERM".into()));
    node.refusal(Cause::OtherListener);
    outside.run("u.settimeout(0)");
    assert_eq!(outside.attempt("u.recv(100)"), Err("EAGAIN".into()));
}

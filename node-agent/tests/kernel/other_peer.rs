//! A socket with leave to go to one peer is turned towards another: its packets are looked at, each by itself.

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::carrier,
    process::{ScopeSettings, level, marks},
};
use serde_json::json;

use super::{
    actor::Actor,
    destination::{Destination, Family},
    network::ip,
    node::Node,
    peer::Peer,
};

/// Undoes a connect of the socket `s`, which keeps its tag.
pub(super) const DISCONNECT: &str = "import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.connect(s.fileno(), bytes(16), 16) == 0";

fn host(family: Family) -> (Peer, Destination) {
    let peer = Peer::at(family.real());
    let to = family.to(family.real(), peer.port());
    (peer, to)
}

/// Starts to connect a new socket, and waits for nothing.
fn begin_to_connect(actor: &mut Actor, to: &Destination) {
    let (host, port) = (to.host(), to.port());
    let begun = actor.run(&format!("s.connect_ex(({host:?}, {port}))"));
    assert_eq!(
        begun,
        json!(libc::EINPROGRESS),
        "the verdict is about the packet"
    );
}

fn make_socket(actor: &mut Actor, to: &Destination) {
    let host = to.host();
    actor.run(&format!(
        "s = socket.socket(family({host:?}))\ns.settimeout(0)"
    ));
}

/// Makes a socket with an option that is refused in a scope, as one may have it that was made before.
fn make_socket_with(node: &mut Node, actor: &mut Actor, to: &Destination, option: &str) {
    let (scope, enforced) = (node.scope, node.broker.ports());
    let observed = ScopeSettings {
        marks: marks::OBSERVE,
        ..enforced
    };
    node.maps().set_settings(scope, observed).unwrap();
    make_socket(actor, to);
    actor.run(option);
    node.maps().set_settings(scope, enforced).unwrap();
}

#[test]
fn a_connected_socket_that_is_made_to_listen_is_reached_by_nobody() {
    let mut node = Node::start();
    let (mut actor, mut caller) = (node.attested(level::IMAGE), node.outside());
    for family in Family::ALL {
        let (peer, to) = host(family);
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        actor.connect(&to).unwrap();
        peer.accept();
        actor.run(DISCONNECT);
        actor.run("s.listen()\ns.settimeout(0)");
        let port = actor.run("s.getsockname()[1]").as_u64().unwrap();
        let listening = family.to(family.real(), u16::try_from(port).unwrap());
        make_socket(&mut caller, &listening);
        begin_to_connect(&mut caller, &listening);
        let event = node.refusal(Cause::OtherPeer);
        assert_eq!(event.tgid, actor.pid, "{family:?}");
        assert_eq!(
            actor.attempt("s.accept()"),
            Err("EAGAIN".into()),
            "{family:?}"
        );
        // The caller may go wherever it likes.
        caller.connect(&to).unwrap();
    }
}

#[test]
fn a_route_in_the_options_of_a_packet_leads_nowhere() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let (peer, to) = host(Family::V4);
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    // A loose source route by way of 10.99.0.9 (RFC 791).
    let route =
        "s.setsockopt(socket.SOL_IP, socket.IP_OPTIONS, bytes([131, 7, 4, 10, 99, 0, 9, 0]))";
    make_socket_with(&mut node, &mut actor, &to, route);
    begin_to_connect(&mut actor, &to);
    let event = node.refusal(Cause::OtherPeer);
    assert_eq!((event.tgid, event.address), (actor.pid, to.bytes()));
    assert!(peer.has_nobody());
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn a_route_in_a_header_of_a_packet_leads_nowhere() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    let (peer, to) = host(Family::V6);
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    // A segment routing header by way of fd99::53 (RFC 8754, 2); the last segment is the destination's place.
    let route = "via = socket.inet_pton(socket.AF_INET6, 'fd99::53')
route = bytes([0, 4, 4, 1, 1, 0, 0, 0]) + bytes(16) + via
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RTHDR, route)";
    make_socket_with(&mut node, &mut actor, &to, route);
    begin_to_connect(&mut actor, &to);
    let event = node.refusal(Cause::OtherPeer);
    assert_eq!((event.tgid, event.address), (actor.pid, to.bytes()));
    assert!(peer.has_nobody());
    actor.connect(&to).unwrap();
    peer.accept();
}

#[test]
fn a_socket_that_is_bound_to_another_device_leads_nowhere() {
    let mut node = Node::start();
    ip("link add outward type veth peer name street
link set outward up
link set street up
address add 10.98.0.1/24 dev outward
");
    let mut actor = node.attested(level::IMAGE);
    let to = Family::V4.to(Family::V4.imaginary(), 443);
    node.grant(level::IMAGE, &to, carrier::BROKER);
    // Without a route there, whatever is sent to the broker on loopback goes out by that device.
    let bind = "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'outward')";
    make_socket_with(&mut node, &mut actor, &to, bind);
    begin_to_connect(&mut actor, &to);
    let event = node.refusal(Cause::OtherPeer);
    assert_eq!((event.tgid, event.address), (actor.pid, to.bytes()));
    assert!(node.broker.tcp4.has_nobody());
    actor.connect(&to).unwrap();
    node.broker.tcp4.accept();
}

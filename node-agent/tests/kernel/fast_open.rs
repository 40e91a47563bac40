//! TCP fast open (RFC 7413): data goes with the first packet, and no separate connect is called for.

use lanyard_node_agent_abi::{cause::Cause, grant::carrier, process::level};

use super::{
    destination::{Destination, Family},
    node::Node,
    peer::Peer,
};

/// By `sendto(2)` with `MSG_FASTOPEN`, and by `TCP_FASTOPEN_CONNECT`, whose connect sends nothing.
const WAYS: [&str; 2] = [
    "s = socket.socket(socket.AF_INET)
s.settimeout(None)
s.sendto(b'fast', 0x20000000, (host, port))",
    "s = socket.socket(socket.AF_INET)
s.setsockopt(socket.IPPROTO_TCP, 30, 1)
s.connect((host, port))
s.send(b'fast')",
];

/// A node in whose network every listener takes data with the first packet (ip-sysctl, `tcp_fastopen`).
fn start() -> Node {
    let node = Node::start();
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "1027").unwrap();
    node
}

fn host() -> (Peer, Destination) {
    let peer = Peer::at(Family::V4.real());
    let to = Family::V4.to(Family::V4.real(), peer.port());
    (peer, to)
}

#[test]
fn a_granted_destination_is_reached_by_fast_open_and_no_other() {
    let mut node = start();
    let (peer, to) = host();
    let (other, elsewhere) = host();
    node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    // Twice: the second time with the cookie that the first one brought.
    for way in WAYS.iter().chain(&WAYS) {
        actor.run(&format!("host, port = {:?}, {}", to.host(), to.port()));
        actor.run(way);
        assert_eq!(peer.accept().receive(4), "fast", "{way}");
        let (host, port) = (elsewhere.host(), elsewhere.port());
        actor.run(&format!("host, port = {host:?}, {port}"));
        assert_eq!(actor.attempt(way), Err("EPERM".into()), "{way}");
        node.refusal(Cause::NoGrant);
        assert!(other.has_nobody());
    }
    let mut outside = node.outside();
    let (host, port) = (elsewhere.host(), elsewhere.port());
    outside.run(&format!("host, port = {host:?}, {port}"));
    for way in WAYS {
        outside.run(way);
        assert_eq!(other.accept().receive(4), "fast", "{way}");
    }
}

#[test]
fn data_of_a_fast_open_does_not_pass_behind_the_end() {
    let mut node = start();
    let (peer, to) = host();
    let slot = node.grant(level::IMAGE, &to, carrier::DIRECT);
    let mut actor = node.attested(level::IMAGE);
    actor.run(&format!("host, port = {:?}, {}", to.host(), to.port()));
    // The first one brings the cookie that lets the next connect wait for the data.
    for way in [WAYS[0], WAYS[0]] {
        actor.run(way);
        assert_eq!(peer.accept().receive(4), "fast");
    }
    actor.run(
        "s = socket.socket(socket.AF_INET)
s.settimeout(0.3)
s.setsockopt(socket.IPPROTO_TCP, 30, 1)
s.connect((host, port))",
    );
    assert!(peer.has_nobody(), "nothing is sent yet");
    node.end_at(slot, 0);
    assert!(actor.attempt("s.send(b'late') and s.recv(1)").is_err());
    node.refusal(Cause::GrantEnded);
    assert!(peer.has_nobody());
}

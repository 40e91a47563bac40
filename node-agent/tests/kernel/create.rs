//! `socket(2)`: what may be made in a scope.

use lanyard_node_agent_abi::{cause::Cause, process::level};

use super::node::Node;

fn make(family: &str, kind: &str, protocol: i32) -> String {
    format!("s = socket.socket(socket.{family}, socket.{kind}, {protocol})")
}

#[test]
fn sockets_that_could_slip_through_are_not_made_in_a_scope() {
    let mut node = Node::start();
    let mut outside = node.outside();
    let mut inside = [node.attested(level::IMAGE), node.enter(), node.moved_in()];
    let (icmp, icmp6, sctp, udp_lite, mptcp, raw) = (1, 58, 132, 136, 262, 255);
    let kinds = [
        ("AF_INET", "SOCK_RAW", icmp),
        ("AF_INET", "SOCK_RAW", raw),
        ("AF_INET", "SOCK_RAW", 6),
        ("AF_INET", "SOCK_RAW", 17),
        ("AF_INET", "SOCK_DGRAM", icmp),
        ("AF_INET", "SOCK_DGRAM", udp_lite),
        ("AF_INET", "SOCK_STREAM", mptcp),
        ("AF_INET", "SOCK_STREAM", sctp),
        ("AF_INET", "SOCK_SEQPACKET", sctp),
        ("AF_INET6", "SOCK_RAW", icmp6),
        ("AF_INET6", "SOCK_RAW", raw),
        ("AF_INET6", "SOCK_DGRAM", icmp6),
        ("AF_INET6", "SOCK_DGRAM", udp_lite),
        ("AF_INET6", "SOCK_STREAM", mptcp),
        ("AF_INET6", "SOCK_STREAM", sctp),
        ("AF_INET6", "SOCK_SEQPACKET", sctp),
    ];
    let mut tried = 0;
    for (family, kind, protocol) in kinds {
        let code = make(family, kind, protocol);
        if let Err(error) = outside.attempt(&code) {
            println!("this kernel has none: {code}: {error}");
            continue;
        }
        tried += 1;
        for actor in &mut inside {
            assert_eq!(
                actor.attempt(&code),
                Err("EPROTONOSUPPORT".into()),
                "{code}"
            );
            let event = node.refusal(Cause::SocketKind);
            assert_eq!((event.tgid, event.scope), (actor.pid, node.scope), "{code}");
        }
    }
    assert!(
        tried >= 8,
        "raw and ping sockets are in every kernel, and MPTCP in those we know"
    );
}

#[test]
fn ordinary_sockets_are_made_in_a_scope() {
    let mut node = Node::start();
    let mut inside = [
        node.attested(level::IMAGE),
        node.enter(),
        node.refused(),
        node.moved_in(),
    ];
    for actor in &mut inside {
        for family in ["AF_INET", "AF_INET6"] {
            for (kind, protocol) in [
                ("SOCK_STREAM", 0),
                ("SOCK_STREAM", 6),
                ("SOCK_DGRAM", 0),
                ("SOCK_DGRAM", 17),
            ] {
                actor.run(&make(family, kind, protocol));
            }
        }
        actor.run("socket.socketpair() and None");
        actor.run(&make("AF_NETLINK", "SOCK_RAW", 0));
    }
    assert_eq!(node.other_refusals(), []);
}

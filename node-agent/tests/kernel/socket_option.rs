//! `setsockopt(2)`: what would lead packets around the programs is refused in a scope.

use lanyard_node_agent_abi::{cause::Cause, process::level};

use super::node::Node;

#[test]
fn options_that_lead_packets_elsewhere_or_later_are_refused_in_a_scope_alone() {
    let mut node = Node::start();
    let (mut inside, mut outside) = (node.attested(level::IMAGE), node.outside());
    let of_launch_time =
        "s.setsockopt(socket.SOL_SOCKET, 61, (1).to_bytes(4, 'little') + bytes(4))";
    let of_mark = "s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1)";
    let of_device = "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo')";
    let of_route = "s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 1, 1, 0]))";
    let of_others = "s.setsockopt(socket.IPPROTO_IP, socket.IP_TRANSPARENT, 1)";
    for actor in [&mut inside, &mut outside] {
        actor.run("s = socket.socket()");
        actor.run("s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)");
        actor.run("s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)");
    }
    for code in [of_launch_time, of_mark, of_device, of_route, of_others] {
        outside.run(code);
        assert_eq!(inside.attempt(code), Err("EPERM".into()), "{code}");
        assert_eq!(node.refusal(Cause::SocketOption).tgid, inside.pid, "{code}");
    }
}

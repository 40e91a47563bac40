//! What is allowed passes whole: refusing everything would be easy.

use lanyard_node_agent_abi::{grant::carrier, process::level};

use super::{destination::Family, node::Node, peer::Peer};

/// More than any buffer on the way takes, and with packets of every size the kernel makes.
const BYTES: usize = 32 << 20;

const RECEIVE: &str = "
left = BYTES
while left:
    got = len(s.recv(min(left, 65536)))
    assert got
    left -= got
";

#[test]
fn large_transfers_arrive_whole_in_both_directions() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    actor.run(&format!("BYTES = {BYTES}"));
    for family in Family::ALL {
        let peer = Peer::at(family.real());
        let direct = family.to(family.real(), peer.port());
        let brokered = family.to(family.imaginary(), 443);
        node.grant(level::IMAGE, &direct, carrier::DIRECT);
        node.grant(level::IMAGE, &brokered, carrier::BROKER);
        for to in [direct, brokered] {
            actor.connect(&to).unwrap();
            let mut accepted = if to == direct {
                peer.accept()
            } else {
                node.broker.tcp(family).accept()
            };
            actor.begin("s.sendall(b'x' * BYTES)");
            assert_eq!(accepted.receive(BYTES).len(), BYTES, "{to:?}");
            actor.finish().unwrap();
            actor.begin(RECEIVE);
            accepted.send(&"y".repeat(BYTES));
            actor.finish().unwrap();
            let counters = node.maps().counters().unwrap();
            assert!(
                counters.values().all(|count| *count == 0),
                "{to:?}: {counters:?}"
            );
        }
    }
}

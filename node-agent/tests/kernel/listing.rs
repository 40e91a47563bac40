//! Open connections, listed by the kernel with their tags: what it told of when they began.

use lanyard_node_agent::kernel::{datagrams, tagged};
use lanyard_node_agent_abi::{
    event::{FlowEvent, flow},
    grant::{GrantKey, carrier},
    process::level,
};

use super::{destination::Family, node::Node, peer::Peer, wait::until};

fn listed(node: &mut Node) -> Vec<FlowEvent> {
    let mut flows = tagged::connections(node.maps().tag_map()).unwrap();
    flows.extend(datagrams::connected(node.maps()));
    flows
}

#[test]
fn a_connection_is_listed_as_it_was_told_of_for_as_long_as_it_is_open() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let peer = Peer::at(family.real());
        let to = family.to(family.real(), peer.port());
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        let brokered = family.to(family.imaginary(), 443);
        node.grant(level::IMAGE, &brokered, carrier::BROKER);
        let mut outside = node.outside();
        outside.connect(&to).unwrap();
        peer.accept();
        assert_eq!(
            listed(&mut node),
            [],
            "{family:?}: who is outside has no tag"
        );

        for (to, name) in [(&to, "direct"), (&brokered, "brokered")] {
            actor.connect(to).unwrap();
            let told = FlowEvent {
                at: 0,
                ..node.flow(to)
            };
            assert_eq!(listed(&mut node), [told], "{family:?} {name}");
            // A reset: nothing of it stays.
            actor.run("s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')\ns.close()");
            until("it is listed no more", || {
                listed(&mut node).is_empty().then_some(())
            });
        }
    }
}

#[test]
fn a_datagram_socket_with_a_peer_is_listed() {
    let mut node = Node::start();
    let mut actor = node.attested(level::IMAGE);
    for family in Family::ALL {
        let to = family.to(family.real(), 9);
        node.grant(level::IMAGE, &to, carrier::DIRECT);
        let key = GrantKey {
            protocol: 17,
            ..node.key(&to)
        };
        let (_, grant) = node
            .maps()
            .grants()
            .into_iter()
            .find(|(key, _)| key.address == to.bytes())
            .unwrap();
        node.maps().set_grant(key, grant).unwrap();
        actor.run(&format!(
            "s = connect({:?}, 9, socket.SOCK_DGRAM)",
            to.host()
        ));
        let flows = listed(&mut node);
        assert_eq!(flows.len(), 1, "{family:?}");
        let known = (flows[0].kind, flows[0].address, flows[0].tgid);
        assert_eq!(
            known,
            (flow::CONNECTED, to.bytes(), actor.pid),
            "{family:?}"
        );
        actor.run("s.close()");
        assert_eq!(listed(&mut node), [], "{family:?}");
    }
}

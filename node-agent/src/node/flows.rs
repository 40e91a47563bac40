//! Connections that stand under grants, and their ends.

use std::os::fd::AsFd as _;

use lanyard_access::host::Host;
use lanyard_node_agent_abi::event::{FlowEvent, flow};
use lanyard_protocol::record::Event;
use tracing::warn;

use super::Node;
use crate::{
    desired::number_of,
    flows::Flows,
    kernel::{clock::Moment, namespace, sever},
    scope::listeners::Listeners,
};

impl Node {
    /// A connection was established, or it ended.
    pub fn on_flow(&mut self, flow: FlowEvent, now: Moment) {
        if flow.kind == flow::CLOSED {
            self.flows.closed(&flow);
            return;
        }
        if let Some(event) = self.direct_connection(&flow) {
            self.record(event, now);
        }
        self.keep_flow(flow, now);
    }

    /// Takes up the connections that the kernel knows of. Those that come meanwhile are told as ever.
    pub fn take_up_flows(&mut self, flows: Vec<FlowEvent>, now: Moment) {
        self.flows = Flows::default();
        for flow in flows {
            self.keep_flow(flow, now);
        }
    }

    fn keep_flow(&mut self, flow: FlowEvent, now: Moment) {
        // The grant may have ended between the connect and this.
        let is_held = flow.slot == 0;
        let is_live = self
            .slots
            .deadline_of(flow.slot)
            .is_some_and(|deadline| deadline > now.boot);
        let runs = self.maps.is_live(flow.exec_id).unwrap_or(false);
        if is_live || (is_held && runs) {
            self.flows.established(flow);
        } else {
            self.destroy(&flow);
        }
        if is_held {
            // The image may have been settled between the connect and this.
            self.release_held(flow.exec_id);
        }
    }

    fn direct_connection(&self, flow: &FlowEvent) -> Option<Event> {
        use lanyard_node_agent_abi::grant::carrier::DIRECT;
        let scope = self.scopes.get(&flow.scope)?;
        if flow.carrier != u32::from(DIRECT) {
            return None;
        }
        let destination = crate::refusals::socket_address(flow.address, flow.port);
        let agent = self.compiler.desired().agents.get(&scope.agent);
        let granted = agent.map_or(&[][..], |agent| &agent.grants);
        let host = Host::from(destination.ip());
        let is_this = |grant: &&lanyard_access::desired::LiveGrant| {
            grant.resource.host.opens(&host)
                && grant.resource.port.get() == destination.port()
                && u32::from(number_of(grant.resource.protocol)) == flow.protocol
        };
        Some(Event::ConnectionAllowed {
            scope: scope.reference(),
            process: self.process_of(flow.exec_id, flow.tgid),
            destination,
            grants: granted
                .iter()
                .filter(is_this)
                .map(|grant| grant.key.clone())
                .collect(),
            name: None,
        })
    }

    /// Ends every connection that stands under a slot.
    pub(super) fn sever(&mut self, slot: u32) {
        for flow in self.flows.take(slot) {
            self.destroy(&flow);
        }
    }

    /// Ends a connection, in the network that its scope has.
    pub(super) fn destroy(&self, flow: &FlowEvent) {
        let scope = self.scopes.get(&flow.scope);
        let listeners = scope.and_then(|scope| scope.listeners.as_ref());
        let ended = match listeners.and_then(Listeners::network) {
            Some(network) => namespace::within(network.as_fd(), || sever::destroy(flow)),
            None => sever::destroy(flow),
        };
        if let Err(error) = ended {
            warn!(%error, "an ended connection could not be destroyed; its packets are dropped");
        }
    }
}

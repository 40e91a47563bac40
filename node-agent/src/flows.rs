//! Established connections, by the slot they stand under, so that they can be ended with it.

use std::collections::{BTreeMap, VecDeque};

use lanyard_node_agent_abi::{event::FlowEvent, process::ExecId};

/// How many connections of one slot are remembered. Those before are ended by the kernel alone: their
/// packets stop at the same moment, and their own timeouts tell the program.
const MOST: usize = 4096;

/// All connections that were told of.
#[derive(Debug, Default)]
pub struct Flows {
    by_slot: BTreeMap<u32, VecDeque<FlowEvent>>,
    held: BTreeMap<ExecId, VecDeque<FlowEvent>>,
}

impl Flows {
    /// A connection was established.
    pub fn established(&mut self, flow: FlowEvent) {
        if flow.slot == 0 {
            push(self.held.entry(flow.exec_id).or_default(), flow);
        } else {
            push(self.by_slot.entry(flow.slot).or_default(), flow);
        }
    }

    /// A connection ended.
    pub fn closed(&mut self, flow: &FlowEvent) {
        let is_other = |known: &FlowEvent| known.cookie != flow.cookie;
        if let Some(flows) = self.by_slot.get_mut(&flow.slot) {
            flows.retain(is_other);
            if flows.is_empty() {
                self.by_slot.remove(&flow.slot);
            }
        }
        if let Some(flows) = self.held.get_mut(&flow.exec_id) {
            flows.retain(is_other);
        }
    }

    /// Takes the connections of a slot that has ended.
    pub fn take(&mut self, slot: u32) -> VecDeque<FlowEvent> {
        self.by_slot.remove(&slot).unwrap_or_default()
    }

    /// An image is settled: its held connections come under the slots that `slot_of` names. Those without one
    /// are forgotten: the broker, which has them, records that they are refused and resets them.
    pub fn release(&mut self, exec_id: ExecId, slot_of: impl Fn(&FlowEvent) -> Option<u32>) {
        for flow in self.held.remove(&exec_id).unwrap_or_default() {
            if let Some(slot) = slot_of(&flow) {
                push(
                    self.by_slot.entry(slot).or_default(),
                    FlowEvent { slot, ..flow },
                );
            }
        }
    }

    /// Takes the connections of an image that is the agent no more.
    pub fn take_image(&mut self, exec_id: ExecId) -> Vec<FlowEvent> {
        let mut taken = Vec::new();
        for flows in self.by_slot.values_mut() {
            taken.extend(flows.iter().filter(|flow| flow.exec_id == exec_id));
            flows.retain(|flow| flow.exec_id != exec_id);
        }
        taken
    }

    /// Forgets what an ended image held.
    pub fn forget_image(&mut self, exec_id: ExecId) {
        self.held.remove(&exec_id);
    }
}

fn push(flows: &mut VecDeque<FlowEvent>, flow: FlowEvent) {
    if flows.len() >= MOST {
        flows.pop_front();
    }
    flows.push_back(flow);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(exec_id: ExecId, slot: u32, port: u16) -> FlowEvent {
        FlowEvent {
            exec_id,
            slot,
            port,
            ..FlowEvent::ZERO
        }
    }

    #[test]
    fn a_slot_gives_up_its_connections_once() {
        let mut flows = Flows::default();
        flows.established(flow(1, 7, 0));
        assert_eq!(flows.take(7).len(), 1);
        assert_eq!(flows.take(7).len(), 0);
    }

    #[test]
    fn a_connection_that_ended_is_forgotten_and_no_other() {
        let mut flows = Flows::default();
        let of = |cookie| FlowEvent {
            cookie,
            ..flow(1, 7, 0)
        };
        flows.established(of(1));
        flows.established(of(2));
        flows.closed(&of(1));
        assert_eq!(flows.take(7), [of(2)]);
        flows.established(of(3));
        flows.closed(&of(3));
        assert!(flows.by_slot.is_empty());
    }

    #[test]
    fn a_held_connection_comes_under_its_slot_or_is_left_to_the_broker() {
        let mut flows = Flows::default();
        flows.established(flow(1, 0, 80));
        flows.established(flow(1, 0, 81));
        flows.release(1, |flow| (flow.port == 80).then_some(7));
        assert_eq!(
            flows
                .take(7)
                .iter()
                .map(|flow| flow.port)
                .collect::<Vec<_>>(),
            [80]
        );
        assert!(flows.held.is_empty());
    }

    #[test]
    fn an_image_that_is_the_agent_no_more_gives_up_its_connections_alone() {
        let mut flows = Flows::default();
        flows.established(flow(1, 7, 80));
        flows.established(flow(2, 7, 81));
        assert_eq!(flows.take_image(1).len(), 1);
        assert_eq!(flows.take(7).len(), 1);
    }

    #[test]
    fn a_flood_of_connections_takes_bounded_memory() {
        let mut flows = Flows::default();
        for _ in 0..MOST + 10 {
            flows.established(flow(1, 7, 0));
        }
        assert_eq!(flows.take(7).len(), MOST);
    }
}

//! What the kernel programs tell, asked for by what is expected.

use std::{collections::BTreeMap, thread};

use lanyard_node_agent::kernel::Rings;
use lanyard_node_agent_abi::{
    cause::Cause,
    event::{ExecEvent, FlowEvent, RefusalEvent, exec, flow},
};

use super::Node;
use crate::kernel::{destination::Destination, wait::until};

/// Events that nobody asked for yet.
#[derive(Default)]
pub(super) struct Heard {
    execs: Vec<ExecEvent>,
    arguments: BTreeMap<u64, Vec<u8>>,
    refusals: Vec<RefusalEvent>,
    flows: Vec<FlowEvent>,
}

impl Node {
    /// How often the kernel refused for that cause.
    pub(crate) fn refusals(&mut self, cause: Cause) -> u64 {
        self.maps().counters().expect("read the counters")[cause.name()]
    }

    /// Waits for a refusal with that cause, told of and counted.
    pub(crate) fn refusal(&mut self, cause: Cause) -> RefusalEvent {
        self.refusal_of(cause, |_| true)
    }

    /// Waits for a refusal with that cause of what is wanted, told of and counted.
    pub(crate) fn refusal_of(
        &mut self,
        cause: Cause,
        is_wanted: impl Fn(&RefusalEvent) -> bool,
    ) -> RefusalEvent {
        let event = until("a refusal is told of", || {
            self.listen();
            take(&mut self.heard.refusals, |event| {
                event.cause == cause as u32 && is_wanted(event)
            })
        });
        assert!(
            self.refusals(cause) > 0,
            "{cause:?} was told of, and not counted"
        );
        event
    }

    /// Waits until a process was told of that executed something.
    pub(crate) fn executed(&mut self, tgid: u32) -> ExecEvent {
        until("an execution is told of", || {
            self.listen();
            take(&mut self.heard.execs, |event| {
                event.kind == exec::EXECUTED && event.tgid == tgid
            })
        })
    }

    /// The arguments that an execution was told of with.
    pub(crate) fn arguments_of(&mut self, exec_id: u64) -> Vec<u8> {
        let told = self.heard.arguments.remove(&exec_id);
        told.expect("an execution that was told of")
    }

    /// Waits until the last process of an image has ended.
    pub(crate) fn ended(&mut self, exec_id: u64) {
        until("the end of an image is told of", || {
            self.listen();
            take(&mut self.heard.execs, |event| {
                event.kind == exec::ENDED && event.exec_id == exec_id
            })
        });
    }

    /// Every execution and end that nobody asked for.
    pub(crate) fn other_execs(&mut self) -> Vec<ExecEvent> {
        self.listen();
        std::mem::take(&mut self.heard.execs)
    }

    /// Every refusal that nobody asked for.
    pub(crate) fn other_refusals(&mut self) -> Vec<RefusalEvent> {
        self.listen();
        std::mem::take(&mut self.heard.refusals)
    }

    /// Waits for an established connection to that destination.
    pub(crate) fn flow(&mut self, to: &Destination) -> FlowEvent {
        until("a connection is told of", || {
            self.listen();
            take(&mut self.heard.flows, |event| {
                event.kind == flow::ESTABLISHED
                    && event.address == to.bytes()
                    && event.port == to.port().to_be()
            })
        })
    }

    fn listen(&mut self) {
        let Rings {
            execs,
            refusals,
            flows,
        } = &mut self.kernel.as_mut().expect("a living node agent").rings;
        while let Some(record) = execs.next_exec() {
            let event = record.event;
            if event.kind == exec::EXECUTED {
                self.heard.arguments.insert(event.exec_id, record.arguments);
            }
            self.heard.execs.push(event);
        }
        self.heard
            .refusals
            .extend(std::iter::from_fn(|| refusals.next_refusal()));
        self.heard
            .flows
            .extend(std::iter::from_fn(|| flows.next_flow()));
    }
}

/// A failed test says what the kernel knew.
impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() && self.kernel.is_some() {
            let refusals = self.other_refusals();
            let maps = self.maps();
            let counters = maps.counters().unwrap_or_default();
            let counters = counters.into_iter().filter(|(_, count)| *count > 0);
            eprintln!("refusals: {:?}", counters.collect::<Vec<_>>());
            eprintln!("not asked for: {refusals:?}");
            eprintln!("processes: {:?}", maps.processes());
            eprintln!("images: {:?}", maps.images());
            eprintln!("grants: {:?}", maps.grants());
        }
    }
}

fn take<T>(events: &mut Vec<T>, is_wanted: impl FnMut(&T) -> bool) -> Option<T> {
    let at = events.iter().position(is_wanted)?;
    Some(events.remove(at))
}

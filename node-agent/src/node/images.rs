//! Executions of a scope, and what becomes of them.

use lanyard_access::process::ProcessSelector;
use lanyard_node_agent_abi::{
    event::{ExecEvent, exec},
    process::{ExecId, Process},
};
use lanyard_protocol::record::Event;
use tracing::{error, warn};

use super::{Node, destroy};
use crate::{
    attest::{FileFacts, Verdict, decide},
    desired::{Key, mapped},
    images::KnownImage,
    kernel::clock::Moment,
};

impl Node {
    /// An image was executed. Returns what its scope's identity lists, if it is to be looked at.
    pub fn on_executed(&mut self, event: ExecEvent) -> Option<Vec<ProcessSelector>> {
        let scope = self.scopes.get(&event.scope)?;
        let agent = self.compiler.desired().agents.get(&scope.agent);
        let listed = agent
            .map(|agent| agent.processes.clone())
            .unwrap_or_default();
        if !self.images.executed(event) {
            warn!("too many images; what is executed now is not attested");
            return None;
        }
        Some(listed)
    }

    /// Images that processes of a scope run and that nothing is known of here, with what the kernel keeps.
    pub fn unknown_images(&self) -> Vec<ExecEvent> {
        let processes = self.maps.processes();
        let unknown = processes.into_iter().filter(|(_, process)| {
            self.scopes.contains_key(&process.scope) && self.images.get(process.exec_id).is_none()
        });
        // Processes that forked share an image: one of them is enough to look at.
        let by_image: std::collections::BTreeMap<_, _> = unknown
            .map(|(tgid, process)| (process.exec_id, (tgid, process)))
            .collect();
        let event = |(tgid, process): (u32, Process)| ExecEvent {
            kind: exec::EXECUTED,
            flags: process.flags,
            exec_id: process.exec_id,
            tgid,
            scope: process.scope,
            ..ExecEvent::ZERO
        };
        by_image.into_values().map(event).collect()
    }

    /// An image was found running. As [`Self::on_executed`], unless its process executed another meanwhile.
    pub fn on_found(&mut self, event: ExecEvent) -> Option<Vec<ProcessSelector>> {
        let now_runs = self.maps.process(event.tgid)?.exec_id;
        let is_news = self.images.get(event.exec_id).is_none();
        (now_runs == event.exec_id && is_news)
            .then(|| self.on_executed(event))
            .flatten()
    }

    /// An image's last process ended.
    pub fn on_ended(&mut self, exec_id: ExecId) {
        self.images.ended(exec_id);
        self.flows.forget_image(exec_id);
    }

    /// An image was looked at.
    pub fn on_attested(&mut self, exec_id: ExecId, facts: FileFacts, now: Moment) {
        let Some(image) = self.images.get(exec_id) else {
            return;
        };
        let Some(scope) = self.scopes.get(&image.event.scope) else {
            return;
        };
        // As the identity is now: it may have changed since the look.
        let agent = self.compiler.desired().agents.get(&scope.agent);
        let verdict = decide(
            &image.event,
            &facts,
            agent.map_or(&[][..], |agent| &agent.processes),
        );
        self.settle(exec_id, facts, verdict, now);
    }

    /// The identity of a scope changed: decides its images anew from what is known of them.
    pub(super) fn reattest(&mut self, scope: u32, now: Moment) {
        let Some(agent) = self.scopes.get(&scope).map(|scope| scope.agent.clone()) else {
            return;
        };
        let listed = self
            .compiler
            .desired()
            .agents
            .get(&agent)
            .map_or_else(Vec::new, |agent| agent.processes.clone());
        let mut changed = Vec::new();
        for image in self.images.of_scope(scope) {
            if let (Some(facts), Some(before)) = (&image.facts, &image.verdict) {
                let verdict = decide(&image.event, facts, &listed);
                if verdict != *before {
                    changed.push((image.event.exec_id, facts.clone(), verdict));
                }
            }
        }
        for (exec_id, facts, verdict) in changed {
            self.settle(exec_id, facts, verdict, now);
        }
    }

    fn settle(&mut self, exec_id: ExecId, facts: FileFacts, verdict: Verdict, now: Moment) {
        let listed = verdict.listed.first().copied();
        let Some(image) = self.images.settle(exec_id, facts, verdict) else {
            return;
        };
        let (Some(known), Some(scope)) = (image.to_abi(), self.scopes.get(&image.event.scope))
        else {
            return;
        };
        // The kernel knows it before anybody who waits for it goes on.
        if let Err(error) = self.maps.attest(exec_id, known) {
            error!(%error, "what an image is could not be written; it has no identity");
        }
        let (scope, process) = (scope.reference(), image.process());
        let event = match image.verdict.as_ref().map(|verdict| verdict.level) {
            Some(Ok(_)) => Some(Event::ProcessAttested { scope, process }),
            // A coding agent executes hundreds of tools that are nobody's agent: only a connection that is
            // refused for it makes a record.
            Some(Err(reason)) if is_remarkable(reason) => Some(Event::ProcessRefused {
                scope,
                process,
                reason,
                listed,
            }),
            Some(Err(_)) | None => None,
        };
        let scope = image.event.scope;
        if let Some(event) = event
            && (!event.is_refusal() || self.refusals.is_within_budget(scope, now.boot))
        {
            self.record(event, now);
        }
        if known.principal == 0 {
            // It may have been the agent until now.
            for flow in self.flows.take_image(exec_id) {
                destroy(&flow);
            }
        }
        self.release_held(exec_id);
    }

    /// Brings connections that were held for an image under their grants, if it is settled.
    pub(super) fn release_held(&mut self, exec_id: ExecId) {
        let Some(image) = self.images.get(exec_id).and_then(KnownImage::to_abi) else {
            return;
        };
        let slots = &self.slots;
        self.flows.release(exec_id, |flow| {
            let key = Key {
                principal: image.principal,
                address: mapped(crate::refusals::socket_address(flow.address, 0).ip()),
                port: u16::from_be(flow.port),
                level: u8::try_from(image.level).unwrap_or(0),
            };
            slots.slot_of(&key)
        });
    }
}

/// Whether a refusal says more than that some other program was executed.
const fn is_remarkable(reason: lanyard_access::reason::AttestationReason) -> bool {
    use lanyard_access::reason::AttestationReason as Reason;
    match reason {
        Reason::NotListed | Reason::Unreadable | Reason::NotObserved => false,
        Reason::DigestMismatch
        | Reason::Entered
        | Reason::OtherFile
        | Reason::Unnamed
        | Reason::Changed
        | Reason::Filesystem
        | Reason::TooLarge => true,
    }
}

//! Executions of a scope, and what becomes of them.

use lanyard_access::{process::ProcessSelector, reason::AttestationReason};
use lanyard_node_agent_abi::{
    event::{ExecEvent, exec},
    process::{ExecId, Process},
};
use lanyard_protocol::record::Event;
use tracing::{error, warn};

use super::Node;
use crate::{
    attest::{
        FileFacts, Origin, Rules, Verdict, candidates, decide, file, level_of, refused_by_lineage,
        rule_of,
    },
    desired::Destination,
    images::KnownImage,
    kernel::{ExecRecord, clock::Moment},
};

/// A file to be looked at.
#[derive(Debug)]
pub struct Look {
    /// Its path, as the kernel shows it.
    pub path: String,
    /// What its scope's identity lists.
    pub listed: Vec<ProcessSelector>,
}

impl Node {
    /// An image was executed. Returns its file, if that is worth a look; what is not listed is settled at once.
    pub fn on_executed(&mut self, event: &ExecEvent, now: Moment) -> Option<Look> {
        let scope = self.scopes.get(&event.scope)?;
        let rules = Rules::of(self.compiler.desired().agents.get(&scope.agent));
        if !self.images.executed(*event) {
            warn!("too many images; what is executed now is not attested");
            return None;
        }
        let is_refused = refused_by_lineage(event, rules.process_access).is_some();
        let path = file::path_of(event.tgid);
        let known = path.filter(|path| {
            !is_refused && event.links != 0 && candidates(path, &rules.processes).next().is_some()
        });
        if let Some(path) = known {
            let listed = rules.processes;
            return Some(Look { path, listed });
        }
        let path = file::path_of(event.tgid);
        let reason = match path {
            Some(_) => AttestationReason::NotListed,
            None => AttestationReason::Unreadable,
        };
        self.on_attested(event.exec_id, FileFacts::unseen(path, reason), now);
        None
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
    /// Its environment was not seen: what the kernel was told of it before stands.
    pub fn on_found(&mut self, record: &ExecRecord, now: Moment) -> Option<Look> {
        let event = &record.event;
        let now_runs = self.maps.process(event.tgid)?.exec_id;
        let is_news = self.images.get(event.exec_id).is_none();
        if now_runs != event.exec_id || !is_news {
            return None;
        }
        let kept = self.maps.image(event.exec_id)?;
        if kept.settled == 0 {
            return self.on_executed(event, now);
        }
        if !self.images.executed(*event) {
            warn!("too many images; one that was found is not known");
            return None;
        }
        let path = file::path_of(event.tgid);
        let facts = FileFacts::unseen(path, AttestationReason::NotObserved);
        self.images.found(event.exec_id, facts);
        let verdict = Verdict {
            level: level_of(kept.level)
                .filter(|_| kept.principal != 0)
                .ok_or(AttestationReason::NotObserved),
            lower: None,
            children: rule_of(kept.children),
            listed: Vec::new(),
        };
        self.settle(event.exec_id, verdict, Origin::of(event), now);
        None
    }

    /// An image's last process ended.
    pub fn on_ended(&mut self, exec_id: ExecId) {
        for event in self.images.take_waiting(exec_id) {
            self.images.give_up(exec_id);
            self.on_refusal(&event, Moment::now());
        }
        self.images.ended(exec_id);
        self.flows.forget_image(exec_id);
    }

    /// An image was looked at.
    pub fn on_attested(&mut self, exec_id: ExecId, facts: FileFacts, now: Moment) {
        self.images.found(exec_id, facts);
        self.judge(exec_id, now);
    }

    /// Decides an image that was looked at, once what it came from is decided; and then what came from it.
    fn judge(&mut self, exec_id: ExecId, now: Moment) {
        let mut next = vec![exec_id];
        while let Some(exec_id) = next.pop() {
            let Some(image) = self.images.get(exec_id) else {
                continue;
            };
            let (Some(origin), Some(facts)) = (self.images.origin_of(image), &image.facts) else {
                continue;
            };
            let Some(scope) = self.scopes.get(&image.event.scope) else {
                continue;
            };
            let before = image.verdict.clone();
            let is_adopted = facts.content == Err(AttestationReason::NotObserved);
            // As the identity is now: it may have changed since the look.
            let rules = Rules::of(self.compiler.desired().agents.get(&scope.agent));
            let verdict = decide(&image.event, facts, &rules, origin);
            if is_adopted || before.as_ref() == Some(&verdict) {
                continue;
            }
            let inherited = before.map(|before| (before.level, before.children));
            let changes = inherited != Some((verdict.level, verdict.children));
            self.settle(exec_id, verdict, origin, now);
            if changes {
                next.extend(self.images.children_of(exec_id));
            }
        }
    }

    /// The identity of a scope changed: decides its images anew from what is known of them. One whose file was
    /// not looked at, for it was not listed then, is looked at when it is executed again.
    pub(super) fn reattest(&mut self, scope: u32, now: Moment) {
        let images: Vec<ExecId> = self
            .images
            .of_scope(scope)
            .filter(|image| image.verdict.is_some())
            .map(|image| image.event.exec_id)
            .collect();
        for exec_id in images {
            self.judge(exec_id, now);
        }
    }

    fn settle(&mut self, exec_id: ExecId, verdict: Verdict, origin: Origin, now: Moment) {
        let listed = verdict.listed.first().copied();
        let Some(image) = self.images.settle(exec_id, verdict, origin) else {
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
        let is_listed = process.sha256.is_some();
        let event = match (process.level, process.reason) {
            (Some(_), None) if is_listed => Some(Event::ProcessAttested { scope, process }),
            // A coding agent executes hundreds of tools that are nobody's agent: only a connection that is
            // refused for it makes a record.
            (_, Some(reason)) if is_remarkable(reason) => Some(Event::ProcessRefused {
                scope,
                process,
                reason,
                listed,
            }),
            _ => None,
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
                self.destroy(&flow);
            }
        }
        self.release_held(exec_id);
        for event in self.images.take_waiting(exec_id) {
            self.on_refusal(&event, now);
        }
    }

    /// Brings connections that were held for an image under their grants, if it is settled.
    pub(super) fn release_held(&mut self, exec_id: ExecId) {
        let Some(image) = self.images.get(exec_id).and_then(KnownImage::to_abi) else {
            return;
        };
        let slots = &self.slots;
        self.flows.release(exec_id, |flow| {
            let key = Destination {
                principal: image.principal,
                address: flow.address,
                bits: 128,
                port: u16::from_be(flow.port),
                protocol: u8::try_from(flow.protocol).unwrap_or(0),
            };
            slots.slot_of(&key, image.level)
        });
    }
}

/// Whether a refusal says more than that some other program was executed.
const fn is_remarkable(reason: lanyard_access::reason::AttestationReason) -> bool {
    use lanyard_access::reason::AttestationReason as Reason;
    match reason {
        Reason::NotListed | Reason::Unreadable | Reason::NotObserved | Reason::Unconfined => false,
        Reason::DigestMismatch
        | Reason::Entered
        | Reason::OtherFile
        | Reason::Unnamed
        | Reason::Changed
        | Reason::Filesystem
        | Reason::TooLarge
        | Reason::LoaderVariables
        | Reason::ScriptWritable
        | Reason::ScriptMismatch
        | Reason::ArgumentsUnread
        | Reason::Traced
        | Reason::Conflicted => true,
    }
}

//! The images of every scope, as they are executed, attested and ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lanyard_access::evidence::EvidenceLevel;
use lanyard_node_agent_abi::{
    event::{ExecEvent, RefusalEvent},
    process::{ExecId, Image},
};
use lanyard_protocol::record::Process;
use tokio::sync::watch;

use crate::{
    attest::{FileFacts, Origin, Verdict, number_of_rule},
    desired::number,
};

/// How many images are remembered: as many as the kernel's map has, in which no scope has more than its share.
const MOST: usize = 131_072;

/// One image.
pub struct KnownImage {
    /// What the kernel told.
    pub event: ExecEvent,
    /// What was found at its file.
    pub facts: Option<FileFacts>,
    /// What it is; nothing while it is looked at.
    pub verdict: Option<Verdict>,
    /// What it did that is told of when it is settled.
    waiting: Vec<RefusalEvent>,
    /// What it came from, as far as its own level goes by that.
    pub origin: Origin,
    settled: watch::Sender<bool>,
}

impl KnownImage {
    /// What records say of it.
    pub fn process(&self) -> Process {
        let facts = self.facts.as_ref();
        Process {
            pid: self.event.tgid,
            exec_id: self.event.exec_id,
            path: facts
                .and_then(|facts| facts.path.clone())
                .or_else(|| given_path(&self.event)),
            sha256: facts.and_then(|facts| facts.content.ok()),
            level: self.level(),
            reason: self.verdict.as_ref().and_then(Verdict::reason),
        }
    }

    /// Its level of evidence.
    pub fn level(&self) -> Option<EvidenceLevel> {
        self.verdict.as_ref().and_then(|verdict| verdict.level.ok())
    }

    /// What the kernel should know of it, once it is settled. The principal is its scope's number.
    pub fn to_abi(&self) -> Option<Image> {
        let verdict = self.verdict.as_ref()?;
        let (principal, level) = match verdict.level {
            Ok(level) => (self.event.scope, number(level)),
            Err(_) => (0, 0),
        };
        Some(Image {
            principal,
            level,
            children: number_of_rule(verdict.children),
            settled: 1,
            reserved: 0,
        })
    }

    /// What its own executions come from; nothing while it is looked at.
    pub fn as_origin(&self) -> Option<Origin> {
        let verdict = self.verdict.as_ref()?;
        Some(Origin {
            level: verdict.level.ok(),
            children: verdict.children,
        })
    }

    /// Becomes true when it is settled; closed when it ends before.
    pub fn settled(&self) -> watch::Receiver<bool> {
        self.settled.subscribe()
    }
}

/// The path that was given to execve.
fn given_path(event: &ExecEvent) -> Option<String> {
    let name = event.name.split(|byte| *byte == 0).next()?;
    (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned())
}

/// How many images that have ended are remembered, for what is told of them late.
const MOST_ENDED: usize = 4096;

/// All images that run, and what the last that ended were.
#[derive(Default)]
pub struct Images {
    running: BTreeMap<ExecId, KnownImage>,
    /// What came from what, of those that run: a storm of executions must not search them all each time.
    children: BTreeMap<ExecId, BTreeSet<ExecId>>,
    ended: VecDeque<Process>,
}

impl Images {
    /// An image was executed. False when there is no room to remember it: it is never attested then.
    pub fn executed(&mut self, event: ExecEvent) -> bool {
        if self.running.len() >= MOST {
            return false;
        }
        let (settled, _) = watch::channel(false);
        let siblings = self.children.entry(event.parent).or_default();
        siblings.insert(event.exec_id);
        self.running.insert(
            event.exec_id,
            KnownImage {
                event,
                facts: None,
                verdict: None,
                waiting: Vec::new(),
                origin: Origin::of(&event),
                settled,
            },
        );
        true
    }

    /// What was found at an image's file, before it is decided.
    pub fn found(&mut self, exec_id: ExecId, facts: FileFacts) {
        if let Some(image) = self.running.get_mut(&exec_id) {
            image.facts = Some(facts);
        }
    }

    /// Keeps what an image did until it is settled. False when there is no room for more.
    pub fn wait(&mut self, event: &RefusalEvent) -> bool {
        const MOST: usize = 32;
        let image = self.running.get_mut(&event.exec_id);
        let image = image.filter(|image| image.waiting.len() < MOST);
        image.is_some_and(|image| {
            image.waiting.push(*event);
            true
        })
    }

    /// An image ended before it was looked at: nothing more will be known of it.
    pub fn give_up(&mut self, exec_id: ExecId) {
        if let Some(image) = self.running.get_mut(&exec_id)
            && image.verdict.is_none()
        {
            image.verdict = Some(Verdict::gone());
        }
    }

    /// Takes what waited for an image to be settled, or to end.
    pub fn take_waiting(&mut self, exec_id: ExecId) -> Vec<RefusalEvent> {
        let image = self.running.get_mut(&exec_id);
        image.map_or_else(Vec::new, |image| std::mem::take(&mut image.waiting))
    }

    /// What an image came from: as its parent is now, if that still runs, else as the kernel knew it then.
    /// Nothing while its parent is looked at.
    pub fn origin_of(&self, image: &KnownImage) -> Option<Origin> {
        match self.running.get(&image.event.parent) {
            Some(parent) => parent.as_origin(),
            None => Some(image.origin),
        }
    }

    /// Images that came from this one and were found, in the order of their executions.
    pub fn children_of(&self, exec_id: ExecId) -> Vec<ExecId> {
        let children = self.children.get(&exec_id).into_iter().flatten();
        let is_found = |child: &&ExecId| {
            let image = self.running.get(child);
            image.is_some_and(|image| image.facts.is_some())
        };
        children.filter(is_found).copied().collect()
    }

    /// Says what an image is. Nothing if it has ended.
    pub fn settle(
        &mut self,
        exec_id: ExecId,
        verdict: Verdict,
        origin: Origin,
    ) -> Option<&KnownImage> {
        let image = self.running.get_mut(&exec_id)?;
        image.origin = origin;
        image.verdict = Some(verdict);
        image.settled.send_replace(true);
        Some(image)
    }

    /// An image's last process ended or executed another.
    pub fn ended(&mut self, exec_id: ExecId) {
        let Some(image) = self.running.remove(&exec_id) else {
            return;
        };
        self.forget_child(image.event.parent, exec_id);
        if self.ended.len() >= MOST_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(image.process());
    }

    fn forget_child(&mut self, parent: ExecId, child: ExecId) {
        if let Some(siblings) = self.children.get_mut(&parent) {
            siblings.remove(&child);
            if siblings.is_empty() {
                self.children.remove(&parent);
            }
        }
    }

    /// What records say of an image that runs or has just ended. Events of one image come over several
    /// rings, in no order.
    pub fn process_of(&self, exec_id: ExecId) -> Option<Process> {
        let running = self.running.get(&exec_id).map(KnownImage::process);
        running.or_else(|| {
            self.ended
                .iter()
                .rev()
                .find(|process| process.exec_id == exec_id)
                .cloned()
        })
    }

    /// Every image that runs.
    pub fn ids(&self) -> impl Iterator<Item = ExecId> {
        self.running.keys().copied()
    }

    /// One image.
    pub fn get(&self, exec_id: ExecId) -> Option<&KnownImage> {
        self.running.get(&exec_id)
    }

    /// The images of one scope.
    pub fn of_scope(&self, scope: u32) -> impl Iterator<Item = &KnownImage> {
        self.running
            .values()
            .filter(move |image| image.event.scope == scope)
    }

    /// Forgets every image of a scope.
    pub fn forget_scope(&mut self, scope: u32) {
        let of_scope = |(_, image): &(&ExecId, &KnownImage)| image.event.scope == scope;
        let forgotten: Vec<(ExecId, ExecId)> = self
            .running
            .iter()
            .filter(of_scope)
            .map(|(id, image)| (*id, image.event.parent))
            .collect();
        for (exec_id, parent) in forgotten {
            self.running.remove(&exec_id);
            self.forget_child(parent, exec_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use lanyard_access::reason::AttestationReason;

    use super::*;

    fn executed(images: &mut Images, exec_id: ExecId, parent: ExecId, scope: u32) {
        let event = ExecEvent {
            exec_id,
            parent,
            scope,
            ..ExecEvent::ZERO
        };
        assert!(images.executed(event));
        let facts = FileFacts::unseen(None, AttestationReason::NotListed);
        images.found(exec_id, facts);
    }

    #[test]
    fn children_are_known_while_they_run_and_forgotten_with_their_scope() {
        let mut images = Images::default();
        executed(&mut images, 1, 0, 7);
        executed(&mut images, 2, 1, 7);
        executed(&mut images, 3, 1, 7);
        executed(&mut images, 4, 0, 8);
        assert_eq!(images.children_of(1), [2, 3]);
        images.ended(2);
        assert_eq!(images.children_of(1), [3]);
        images.forget_scope(7);
        assert!(images.children_of(1).is_empty());
        assert_eq!(images.ids().collect::<Vec<_>>(), [4]);
        images.ended(4);
        assert!(images.children.is_empty(), "nothing is kept of what ended");
    }
}

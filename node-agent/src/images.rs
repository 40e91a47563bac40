//! The images of every scope, as they are executed, attested and ended.

use std::collections::{BTreeMap, VecDeque};

use lanyard_access::evidence::EvidenceLevel;
use lanyard_node_agent_abi::{
    event::ExecEvent,
    process::{ExecId, Image},
};
use lanyard_protocol::record::Process;
use tokio::sync::watch;

use crate::{
    attest::{FileFacts, Verdict},
    desired::number,
};

/// How many images are remembered; a fork bomb of executions takes no more memory than this.
const MOST: usize = 65_536;

/// One image.
pub struct KnownImage {
    /// What the kernel told.
    pub event: ExecEvent,
    /// What was found at its file.
    pub facts: Option<FileFacts>,
    /// What it is; nothing while it is looked at.
    pub verdict: Option<Verdict>,
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
        }
    }

    /// Its level of evidence.
    pub fn level(&self) -> Option<EvidenceLevel> {
        self.verdict.as_ref().and_then(|verdict| verdict.level.ok())
    }

    /// What the kernel should know of it, once it is settled. The principal is its scope's number.
    pub fn to_abi(&self) -> Option<Image> {
        let verdict = self.verdict.as_ref()?;
        Some(match verdict.level {
            Ok(level) => Image {
                principal: self.event.scope,
                level: u32::from(number(level)),
            },
            Err(_) => Image {
                principal: 0,
                level: 0,
            },
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
    ended: VecDeque<Process>,
}

impl Images {
    /// An image was executed. False when there is no room to remember it: it is never attested then.
    pub fn executed(&mut self, event: ExecEvent) -> bool {
        if self.running.len() >= MOST {
            return false;
        }
        let (settled, _) = watch::channel(false);
        self.running.insert(
            event.exec_id,
            KnownImage {
                event,
                facts: None,
                verdict: None,
                settled,
            },
        );
        true
    }

    /// Says what an image is. Nothing if it has ended.
    pub fn settle(
        &mut self,
        exec_id: ExecId,
        facts: FileFacts,
        verdict: Verdict,
    ) -> Option<&KnownImage> {
        let image = self.running.get_mut(&exec_id)?;
        image.facts = Some(facts);
        image.verdict = Some(verdict);
        image.settled.send_replace(true);
        Some(image)
    }

    /// An image's last process ended or executed another.
    pub fn ended(&mut self, exec_id: ExecId) {
        let Some(image) = self.running.remove(&exec_id) else {
            return;
        };
        if self.ended.len() >= MOST_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(image.process());
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
        self.running.retain(|_, image| image.event.scope != scope);
    }
}

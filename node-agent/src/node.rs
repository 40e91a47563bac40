//! A node: what is written, what the kernel enforces of it, and what runs.
//!
//! Every method takes what happened and `now`, and leaves the kernel's maps, the brokers and the record in
//! agreement with it. Nothing here waits.

mod flows;
mod grants;
mod images;
mod losses;
mod pods;
mod requests;
mod scopes;

pub use self::{images::Look, losses::Losses, pods::PodError, requests::Connected};

use self::{losses::Lost, requests::Requests};

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use lanyard_access::{compile::Compiler, reason::AttestationReason};
use lanyard_node_agent_abi::{
    event::{RefusalEvent, refusal},
    grant::LEVELS,
};
use lanyard_protocol::record::{Event, Process};
use thiserror::Error;
use tracing::error;

use crate::{
    attest::file::Digests,
    broker::Broker,
    credentials::{Credentials, Resting},
    deadline::Deadlines,
    desired::{Adopted, Destination, Slots},
    flows::Flows,
    images::Images,
    kept::{Kept, KeptError},
    kernel::{MapError, Maps, clock::Moment},
    observations::Observations,
    place::Place,
    record::{RecordError, Recorder},
    refusals::Refusals,
    scope::{Scope, ScopeError, cgroup::Cgroup, inherited::InheritedError},
    usage::Usage,
};

/// A node that the tasks of one thread share. Nobody holds it across a wait.
pub type Shared = Rc<RefCell<Node>>;

/// Why a step was not done. What it would have allowed is refused.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A map of the kernel.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// What a process brings into its scope.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What is kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// The ports of a broker.
    #[error("read the ports of a broker: {0}")]
    Ports(std::io::Error),
    /// A pod.
    #[error(transparent)]
    Pod(#[from] PodError),
}

/// One node.
pub struct Node {
    /// Its folders.
    pub place: Place,
    /// What is written, and what follows from it.
    pub compiler: Compiler,
    /// Scopes that have processes.
    pub scopes: BTreeMap<u32, Scope>,
    /// Cgroups of scopes that nothing else is known of: fenced, and granted nothing, until they are empty.
    pub orphans: Vec<Cgroup>,
    /// Their brokers.
    pub brokers: BTreeMap<u32, Broker>,
    /// Their images.
    pub images: Images,
    /// The record.
    pub recorder: Recorder,
    /// What observed agents did.
    pub observations: Observations,
    /// Manifests that could not be read.
    pub problems: Vec<String>,
    /// The manifests that are in force.
    #[cfg(feature = "local")]
    pub manifests: Option<lanyard_crds::manifest::Set>,
    /// Where credentials are obtained.
    pub credentials: Box<dyn Credentials>,
    /// Those that rest here between requests.
    pub resting: Resting,
    /// What was carried under grants with limits.
    pub usage: Usage,
    /// What brokers have open.
    pub requests: Requests,
    /// Digests of files.
    pub digests: Arc<Digests>,
    /// Whether it is being ended: nothing starts any more.
    pub draining: bool,
    pub(crate) maps: Maps,
    pub(crate) kept: Kept,
    pub(crate) deadlines: Deadlines,
    slots: Slots,
    flows: Flows,
    refusals: Refusals,
    lost: Lost,
}

impl Node {
    /// A node that works with these maps. Scopes that outlived an earlier node agent are taken up.
    pub fn new(
        place: Place,
        maps: Maps,
        recorder: Recorder,
        credentials: Box<dyn Credentials>,
    ) -> Result<Self, NodeError> {
        let kept = Kept::read(&place.kept())?;
        let adopted = adopt_grants(&maps)?;
        let mut node = Self {
            compiler: Compiler::with_history(kept.history.clone()),
            deadlines: kept.deadlines(),
            observations: Observations::read(&place.observed()),
            slots: Slots::adopt(adopted),
            place,
            maps,
            kept,
            recorder,
            credentials,
            resting: Resting::default(),
            usage: Usage::default(),
            requests: Requests::default(),
            scopes: BTreeMap::new(),
            orphans: Vec::new(),
            brokers: BTreeMap::new(),
            images: Images::default(),
            problems: Vec::new(),
            #[cfg(feature = "local")]
            manifests: None,
            digests: Arc::default(),
            draining: false,
            flows: Flows::default(),
            refusals: Refusals::default(),
            lost: Lost::default(),
        };
        node.adopt_scopes()?;
        node.end_unknown_scopes()?;
        Ok(node)
    }

    /// The kernel refused something. What an observed process did is taken down once it is known how well it is
    /// known: events of several rings come in no order.
    pub fn on_refusal(&mut self, event: &RefusalEvent, now: Moment) {
        let is_looked_at = self
            .images
            .get(event.exec_id)
            .is_some_and(|image| image.verdict.is_none());
        let is_observed = event.marks & refusal::OBSERVED != 0;
        if is_observed && is_looked_at && self.images.wait(event) {
            return;
        }
        let Some(scope) = self.scopes.get(&event.scope) else {
            return;
        };
        if !self.refusals.is_news(event) {
            return;
        }
        let process = self.process_of(event.exec_id, event.tgid);
        let refused = crate::refusals::describe(event, &scope.names);
        if event.marks & refusal::OBSERVED != 0 {
            let scope = scope.reference();
            let passed = self
                .observations
                .passed(event.scope, scope, process, refused);
            if let Some(event) = passed {
                self.record(event, now);
            }
            return;
        }
        let unknown = refused
            .is_about_identity
            .then_some(AttestationReason::NotObserved);
        let event = Event::ConnectionRefused {
            scope: scope.reference(),
            identity: process.reason.or(unknown),
            process,
            destination: refused.destination,
            name: refused.name,
            reason: refused.reason,
            path: refused.path,
            transport: refused.transport,
        };
        self.record(event, now);
    }

    /// The scope a process is in: by what the kernel remembers of it, or by its cgroup, for one that was
    /// moved into a scope and has executed nothing since.
    pub fn scope_of(&self, pid: u32) -> Option<u32> {
        if let Some(process) = self.maps.process(pid) {
            return Some(process.scope);
        }
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
        let node = format!("/lanyard/{}/", self.place.node);
        let (_, name) = cgroup.rsplit_once(&node)?;
        let scope = self.scopes.iter().find(|(_, scope)| scope.name == name);
        scope.map(|(id, _)| *id)
    }

    /// What records say of a process, also when nothing is known of its image.
    fn process_of(&self, exec_id: u64, pid: u32) -> Process {
        let unknown = || Process {
            pid,
            exec_id,
            path: None,
            sha256: None,
            level: None,
            reason: None,
        };
        self.images.process_of(exec_id).unwrap_or_else(unknown)
    }

    /// Refusals and losses counted by the kernel, and names that find no room in their scopes.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let counters = self.maps.counters();
        let counters = counters.unwrap_or_else(|error| {
            error!(%error, "the kernel's counters could not be read");
            BTreeMap::new()
        });
        let refused = self.scopes.values().map(|scope| scope.refused_names.len());
        let refused = u64::try_from(refused.sum::<usize>()).unwrap_or(u64::MAX);
        counters
            .into_iter()
            .chain([("RefusedNames", refused)])
            .collect()
    }

    /// Writes a record of something that has happened; what cannot be written is told in the log.
    pub fn record(&mut self, event: Event, now: Moment) {
        if let Err(error) = self.recorder.write(event, now) {
            error!(%error, "a record was not written");
        }
    }

    /// Writes down what must outlive this process; what cannot be written is told in the log.
    pub fn keep(&mut self) {
        if let Err(error) = self.try_keep() {
            error!(%error, "what is kept was not written");
        }
    }

    /// Writes down what must outlive this process.
    pub(crate) fn try_keep(&mut self) -> Result<(), KeptError> {
        self.kept.history = self.compiler.history().clone();
        self.kept.set_deadlines(&self.deadlines);
        self.kept.scopes = self
            .scopes
            .iter()
            .map(|(id, scope)| (*id, scope.kept()))
            .collect();
        self.kept.write(&self.place.kept())
    }
}

/// The grants that an earlier run left in the kernel, with the deadlines of their slots.
fn adopt_grants(maps: &Maps) -> Result<Vec<Adopted>, MapError> {
    const ONE_ADDRESS: u32 = 128;
    let addresses = maps.grants().into_iter();
    let addresses = addresses.map(|(key, grant)| (key, ONE_ADDRESS, grant));
    let mut adopted = Vec::new();
    for (key, bits, grant) in addresses.chain(maps.networks()) {
        let mut deadlines = [0; LEVELS];
        for (deadline, slot) in deadlines.iter_mut().zip(grant.slots) {
            if slot != 0 {
                *deadline = maps.slot(slot)?.deadline;
            }
        }
        let bits = u8::try_from(bits).unwrap_or(u8::MAX);
        adopted.push((Destination::from_abi(&key, bits), grant, deadlines));
    }
    Ok(adopted)
}

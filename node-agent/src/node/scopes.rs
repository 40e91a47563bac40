//! Scopes: made for a run, taken up after a restart, forgotten with their last process.

use std::{collections::BTreeSet, os::fd::BorrowedFd};

use lanyard_access::{
    desired::DesiredAgent,
    identity::{Enforcement, ProcessAccess},
    object::ObjectKey,
};
use lanyard_node_agent_abi::process::{ArmedFile, ScopeSettings, marks};
use lanyard_protocol::{
    broker::{FromAgent, NameBinding, ScopeState, from_agent::Message},
    granted,
    record::Event,
};
use tracing::{info, warn};

use super::{Node, NodeError, pods};
use crate::{
    desired::Openings,
    kernel::{Maps, clock::Moment},
    scope::{
        Scope, ScopeError,
        cgroup::{Cgroup, CgroupError},
        fence::Fence,
        inherited,
        listeners::Listeners,
        pod::socket_key,
        trust,
    },
};

impl Node {
    /// Makes a scope for `agent`, enforced and with its grants, that has no process yet.
    pub fn make_scope(
        &mut self,
        agent: ObjectKey,
        uid: u32,
        now: Moment,
    ) -> Result<u32, NodeError> {
        let id = self.kept.last_scope.wrapping_add(1).max(1);
        self.kept.last_scope = id;
        let scope = Scope::make(&self.place, id, agent, uid, now.wall.as_second())?;
        self.scopes.insert(id, scope);
        if let Err(error) = self.enforce_scope(id, now) {
            if let Err(error) = self.forget_scope(id, now) {
                warn!(%error, "a scope that was not made could not be removed yet");
            }
            return Err(error);
        }
        Ok(id)
    }

    /// Before a scope has a process: what its starter trusts beside the machine's roots, and which variables
    /// lead to that and to nothing else.
    pub fn trust(&mut self, id: u32, added: &str) -> Result<(), NodeError> {
        let Some(scope) = self.scopes.get(&id) else {
            return Ok(());
        };
        if !added.is_empty() {
            scope.trust_also(added)?;
        }
        for text in trust::harmless(scope.shown()) {
            self.maps.set_own_variable(&text, true)?;
        }
        Ok(())
    }

    /// Without a note of its number nothing starts: another scope could be given the same one.
    pub(super) fn enforce_scope(&mut self, id: u32, now: Moment) -> Result<(), NodeError> {
        if let Some(scope) = self.scopes.get(&id) {
            let settings = self.settings_of(scope)?;
            fence(&mut self.maps, scope, settings)?;
        }
        self.apply_to_scope(id, now);
        Ok(self.try_keep()?)
    }

    /// What should hold in a scope, by its agent's identity and its broker's sockets.
    fn settings_of(&self, scope: &Scope) -> Result<ScopeSettings, NodeError> {
        let agent = self.compiler.desired().agents.get(&scope.agent);
        settings(scope, agent.map_or(0, marks_of))
    }

    /// Brings what holds in a scope into agreement with its agent's identity.
    pub(super) fn apply_settings(&mut self, id: u32) -> Result<(), NodeError> {
        let Some(scope) = self.scopes.get(&id) else {
            return Ok(());
        };
        let settings = self.settings_of(scope)?;
        if self.maps.settings(id) != Some(settings) {
            self.maps.set_settings(id, settings)?;
        }
        Ok(())
    }

    /// Moves a process into a scope, where the next file it executes must be `file`.
    pub fn admit(
        &mut self,
        id: u32,
        pid: u32,
        process: BorrowedFd<'_>,
        file: ArmedFile,
        program: String,
        now: Moment,
    ) -> Result<(), NodeError> {
        let Some(scope) = self.scopes.get(&id) else {
            return Err(NodeError::Scope(CgroupError::Gone.into()));
        };
        let event = Event::ScopeStarted {
            scope: scope.reference(),
            program,
            observed: self.is_observed(scope),
        };
        // Without a record of its start nothing starts.
        self.recorder.write(event, now)?;
        self.maps.arm(pid, file)?;
        let admitted = match scope.fence.own() {
            Some(cgroup) => cgroup.admit(pid, process),
            None => Err(CgroupError::Gone),
        };
        if let Err(error) = admitted {
            self.maps.disarm(pid)?;
            return Err(NodeError::Scope(error.into()));
        }
        // Now that it can open none that the kernel does not decide about.
        if let Err(error) = inherited::check(pid, process) {
            // What it executes all the same is in the scope, and not the agent.
            self.maps.disarm(pid)?;
            return Err(error.into());
        }
        Ok(())
    }

    /// Whether the agent of a scope is observed only.
    pub fn is_observed(&self, scope: &Scope) -> bool {
        let agent = self.compiler.desired().agents.get(&scope.agent);
        agent.is_some_and(|agent| agent.enforcement == Enforcement::Observe)
    }

    /// Forgets scopes without processes.
    pub fn reap(&mut self, now: Moment) {
        let is_empty = |cgroup: &Cgroup| !cgroup.is_populated();
        let empty = self.scopes.iter();
        let empty = empty.filter(|(_, scope)| scope.fence.is_over());
        let empty: Vec<u32> = empty.map(|(id, _)| *id).collect();
        for id in empty {
            if let Err(error) = self.forget_scope(id, now) {
                warn!(%error, "an empty scope could not be removed yet");
            }
        }
        self.orphans
            .retain(|cgroup| !is_empty(cgroup) || cgroup.remove().is_err());
    }

    /// Forgets one scope: its grants, its broker, its cgroup and its root. What is kept of it goes before
    /// what it has on disk: a start in between finds files without a scope, and removes them.
    pub fn forget_scope(&mut self, id: u32, now: Moment) -> Result<(), NodeError> {
        let (steps, _) = self.slots.steps(id, &Openings::new());
        for step in steps {
            self.take(step)?;
        }
        let Some(scope) = self.scopes.get(&id) else {
            return Ok(());
        };
        scope.fence.remove().map_err(ScopeError::from)?;
        self.maps.forget_scope(id)?;
        // What all pods are shown is the same, and stays.
        if scope.fence.own().is_some() {
            for text in trust::harmless(scope.shown()) {
                self.maps.set_own_variable(&text, false)?;
            }
        }
        let Some(scope) = self.scopes.remove(&id) else {
            return Ok(());
        };
        self.brokers.remove(&id);
        self.images.forget_scope(id);
        self.refusals.forget_scope(id);
        self.observations.forget_scope(id);
        self.record(
            Event::ScopeEnded {
                scope: scope.reference(),
            },
            now,
        );
        self.keep();
        scope.remove_files(&self.place);
        Ok(())
    }

    /// Takes up the scopes that outlived an earlier node agent. Their brokers get new ports.
    pub(super) fn adopt_scopes(&mut self) -> Result<(), NodeError> {
        let in_kernel = self.maps.scopes();
        for (id, kept) in std::mem::take(&mut self.kept.scopes) {
            let name = kept.name.clone();
            // One that cannot be taken up must not keep the others from it: it is ended below.
            let scope = match Scope::adopt(&self.place, id, kept) {
                Ok(scope) => scope,
                Err(error) => {
                    warn!(%error, scope = name, "a scope could not be taken up; it is granted nothing any more");
                    continue;
                }
            };
            // What is written is not read yet: what held until now holds on.
            let before = self.maps.settings(id).map_or(0, |settings| settings.marks);
            let settings = settings(&scope, before)?;
            let cgroup = scope.fence.own().map(Cgroup::id);
            if cgroup.is_some_and(|cgroup| in_kernel.get(&cgroup) == Some(&id)) {
                self.maps.set_settings(id, settings)?;
                keep_servers(&mut self.maps, &scope)?;
            } else {
                fence(&mut self.maps, &scope, settings)?;
            }
            info!(scope = name, "a scope was taken up");
            self.scopes.insert(id, scope);
        }
        self.remove_stale_folders();
        Ok(())
    }

    /// Ends the grants of scopes that only the kernel knows, and keeps their numbers from being used again:
    /// their processes live on behind the fence.
    pub(super) fn end_unknown_scopes(&mut self) -> Result<(), NodeError> {
        let in_kernel = self.maps.scopes().into_values();
        let of_processes = self
            .maps
            .processes()
            .into_values()
            .map(|process| process.scope);
        let principals: BTreeSet<u32> = self.slots.principals();
        let used = in_kernel
            .chain(of_processes)
            .chain(principals.iter().copied())
            .max();
        self.kept.last_scope = self.kept.last_scope.max(used.unwrap_or(0));
        for unknown in principals {
            if self.scopes.contains_key(&unknown) {
                continue;
            }
            let (steps, _) = self.slots.steps(unknown, &Openings::new());
            for step in steps {
                self.take(step)?;
            }
        }
        self.find_orphans();
        Ok(())
    }

    fn find_orphans(&mut self) {
        let folders = std::fs::read_dir(&self.place.cgroup)
            .into_iter()
            .flatten()
            .flatten();
        for folder in folders.filter(|entry| entry.path().is_dir()) {
            let name = folder.file_name();
            if self.scopes.values().any(|scope| *name == *scope.name) {
                continue;
            }
            match Cgroup::make(&folder.path()) {
                Ok(cgroup) => self.orphans.push(cgroup),
                Err(error) => {
                    warn!(%error, "a cgroup that nothing is known of could not be looked at");
                }
            }
        }
    }

    /// Removes what scopes of an earlier boot, or of a start that was cut short, have left: their roots are
    /// of no use any more, and nobody should find them.
    fn remove_stale_folders(&self) {
        for folder in [
            self.place.state.join("scopes"),
            self.place.run.join("scopes"),
        ] {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            for entry in entries {
                let name = entry.file_name();
                if self.scopes.values().all(|scope| *name != *scope.name)
                    && let Err(error) = std::fs::remove_dir_all(entry.path())
                {
                    warn!(%error, "the folder of a scope that is gone could not be removed");
                }
            }
        }
    }

    /// Sends its scope's state to a broker, if one runs. One that does not read is ended, and started anew
    /// with the state as it is.
    pub fn send_state(&mut self, id: u32) {
        let (Some(broker), Some(state)) = (self.brokers.get(&id), self.state_of(id)) else {
            return;
        };
        let message = FromAgent {
            message: Some(Message::State(state)),
        };
        if !broker.send(message) {
            warn!(
                scope = id,
                "a broker does not read what it is told; it is started anew"
            );
            self.brokers.remove(&id);
        }
    }

    /// Everything a scope's broker works from.
    pub fn state_of(&self, id: u32) -> Option<ScopeState> {
        let scope = self.scopes.get(&id)?;
        let agent = self.compiler.desired().agents.get(&scope.agent);
        let grants = agent.map_or(&[][..], |agent| &agent.grants);
        let deadline = |grant: &lanyard_access::desired::LiveGrant| {
            self.deadlines
                .all()
                .get(&(grant.uid.clone(), grant.spec_hash))
                .copied()
                .unwrap_or(0)
        };
        let names = grants
            .iter()
            .filter_map(|grant| match &grant.resource.host {
                lanyard_access::host::Host::Name(name) => {
                    Some((name.clone(), scope.names.get(name)?))
                }
                lanyard_access::host::Host::Address(_) | lanyard_access::host::Host::Network(_) => {
                    None
                }
            });
        let names: std::collections::BTreeMap<_, _> = names.collect();
        let proxy = self.credentials.machine_proxy();
        Some(ScopeState {
            upstream_proxy: proxy.map(|proxy| proxy.told),
            scope: scope.name.clone(),
            agent: scope.agent.to_string(),
            uid: scope.uid,
            agent_uid: agent.map(|agent| agent.uid.to_string()).unwrap_or_default(),
            spiffe_id: self.spiffe_id_of(&scope.agent),
            observed: self.is_observed(scope),
            grants: grants
                .iter()
                .map(|grant| granted::encode(grant, deadline(grant)))
                .collect(),
            names: names
                .into_iter()
                .map(|(name, addresses)| NameBinding {
                    name: name.to_string(),
                    v4: addresses.v4.octets().to_vec(),
                    v6: addresses.v6.octets().to_vec(),
                })
                .collect(),
        })
    }

    /// The agent's name to the outside.
    pub fn spiffe_id_of(&self, agent: &ObjectKey) -> String {
        lanyard_access::spiffe_id::SpiffeId::of_agent(&self.credentials.trust_domain(), agent)
            .to_string()
    }
}

/// What holds in a scope with those marks, by its broker's sockets.
fn settings(scope: &Scope, marks: u32) -> Result<ScopeSettings, NodeError> {
    let nowhere = ScopeSettings {
        marks,
        ..ScopeSettings::ZERO
    };
    match &scope.listeners {
        Some(listeners) => listeners.settings(marks).map_err(NodeError::Ports),
        None => Ok(nowhere),
    }
}

/// Has the kernel fence a scope from now on.
fn fence(maps: &mut Maps, scope: &Scope, settings: ScopeSettings) -> Result<(), NodeError> {
    match &scope.fence {
        Fence::Own(cgroup) => maps.enforce(cgroup.id(), scope.id, settings)?,
        Fence::Pod { cgroup, .. } => {
            maps.prepare(scope.id, settings)?;
            maps.allow_unix_socket(socket_key(scope.id))?;
            for name in cgroup.names() {
                if !maps.expect_pod(&name, scope.id)? {
                    return Err(NodeError::Scope(CgroupError::Gone.into()));
                }
            }
            pods::mark(maps, scope.id, cgroup)?;
        }
    }
    keep_servers(maps, scope)
}

/// Lets only its own scope be heard where its broker serves.
pub(super) fn keep_servers(maps: &mut Maps, scope: &Scope) -> Result<(), NodeError> {
    for server in scope.listeners.iter().flat_map(Listeners::servers) {
        maps.keep_server(server, scope.id)?;
    }
    Ok(())
}

/// What holds in the scopes of an agent.
fn marks_of(agent: &DesiredAgent) -> u32 {
    let mut marks = 0;
    if agent.enforcement == Enforcement::Observe {
        marks |= marks::OBSERVE;
    }
    if agent.process_access == ProcessAccess::Debug {
        marks |= marks::DEBUG;
    }
    if agent
        .processes
        .iter()
        .any(|process| process.script.is_some())
    {
        marks |= marks::ARGUMENTS;
    }
    marks
}

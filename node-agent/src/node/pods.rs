//! Pods: registered when a kubelet publishes their volumes, fenced before anything of them runs, and over when the
//! kubelet says so.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use lanyard_access::object::ObjectKey;
use lanyard_node_agent_abi::pod::container;
use lanyard_protocol::record::Event;
use thiserror::Error;
use tracing::warn;

use super::{Node, NodeError, scopes::keep_servers};
use crate::{
    kernel::{Maps, clock::Moment, namespace},
    scope::{
        Scope,
        fence::Fence,
        listeners::Listeners,
        pod::{Pod, PodCgroup, PodUid},
    },
};

/// Why a step for a pod was not done. Then it does not start, or its broker does not serve.
#[derive(Debug, Error)]
pub enum PodError {
    /// Its cgroups could not be read.
    #[error("look at the cgroups of a pod: {0}")]
    Cgroups(io::Error),
    /// Its broker has nowhere to listen.
    #[error("open the sockets of a broker in the network of its pod: {0}")]
    Listeners(io::Error),
    /// It is over, or was never registered.
    #[error("nothing is known of the pod")]
    Unknown,
}

impl Node {
    /// Registers a pod of `agent`: from now on every cgroup that is made for it is fenced. Twice is once, and what was
    /// released is no longer: it would be forgotten beneath a pod that starts.
    pub fn register_pod(
        &mut self,
        pod: Pod,
        agent: ObjectKey,
        now: Moment,
    ) -> Result<u32, NodeError> {
        if let Some(id) = self.pod(&pod.uid) {
            self.set_released(id, false);
            return Ok(id);
        }
        let id = self.kept.last_scope.wrapping_add(1).max(1);
        self.kept.last_scope = id;
        let program = format!("pod {}/{}", pod.namespace, pod.name);
        let scope = Scope::of_pod(&self.place, id, agent, pod, now.wall.as_second())?;
        let reference = scope.reference();
        self.scopes.insert(id, scope);
        let registered = self
            .trust(id, "")
            .and_then(|()| self.enforce_scope(id, now));
        let observed = self
            .scopes
            .get(&id)
            .is_some_and(|scope| self.is_observed(scope));
        let event = Event::ScopeStarted {
            scope: reference,
            program,
            observed,
        };
        // Without a record of its start nothing starts.
        let recorded = registered.and_then(|()| Ok(self.recorder.write(event, now)?));
        if let Err(error) = recorded {
            if let Err(error) = self.forget_scope(id, now) {
                warn!(%error, "a pod that was not registered could not be forgotten yet");
            }
            return Err(error);
        }
        Ok(id)
    }

    /// The scope of a pod.
    pub fn pod(&self, uid: &PodUid) -> Option<u32> {
        let is_it = |scope: &Scope| scope.fence.pod().is_some_and(|pod| pod.uid == *uid);
        let found = self.scopes.iter().find(|(_, scope)| is_it(scope));
        found.map(|(id, _)| *id)
    }

    /// Whether the kernel has marked the cgroup of a pod. There may be none yet.
    pub fn is_pod_fenced(&mut self, id: u32) -> Result<bool, NodeError> {
        let Some(Fence::Pod { cgroup, .. }) = self.scopes.get(&id).map(|scope| &scope.fence) else {
            return Err(PodError::Unknown.into());
        };
        mark(&mut self.maps, id, cgroup)
    }

    /// Looks again at the cgroups of every pod, where the kernel may have found no room for a mark.
    pub fn mark_pods(&mut self) {
        for scope in self.scopes.values() {
            if let Fence::Pod { cgroup, .. } = &scope.fence
                && let Err(error) = mark(&mut self.maps, scope.id, cgroup)
            {
                warn!(%error, "the cgroups of a pod could not be marked");
            }
        }
    }

    /// Pods of which nothing runs and nothing was released, for whoever knows whether they are still to come.
    pub fn idle_pods(&self) -> Vec<PodUid> {
        let idle = self.scopes.values().filter_map(|scope| match &scope.fence {
            Fence::Pod {
                pod,
                cgroup,
                is_released: false,
            } if !cgroup.is_populated() => Some(pod.uid.clone()),
            Fence::Pod { .. } | Fence::Own(_) => None,
        });
        idle.collect()
    }

    /// A kubelet says that a pod is over: it is forgotten with its last process.
    pub fn release_pod(&mut self, uid: &PodUid, now: Moment) {
        let Some(id) = self.pod(uid) else {
            return;
        };
        self.set_released(id, true);
        self.reap(now);
    }

    fn set_released(&mut self, id: u32, released: bool) {
        let scope = self.scopes.get_mut(&id);
        let changed = scope.filter(|scope| scope.fence.is_released() != released);
        if let Some(scope) = changed {
            scope.fence.set_released(released);
            self.keep();
        }
    }

    /// The network namespaces of pods that run: by their brokers' sockets, or by any of their processes.
    pub fn pod_networks(&self) -> Vec<OwnedFd> {
        let network_of = |scope: &Scope| {
            let known = scope.listeners.as_ref().and_then(Listeners::network);
            if let Some(known) = known.and_then(|known| known.try_clone().ok()) {
                return Some(known);
            }
            let processes = scope.fence.processes().into_iter();
            processes.map(namespace::network_of).find_map(Result::ok)
        };
        let pods = self.scopes.values();
        let pods = pods.filter(|scope| scope.fence.pod().is_some());
        pods.filter_map(network_of).collect()
    }

    /// Gives a pod's broker its sockets, in the network namespace that the pod has. Those that are there stay, for as
    /// long as it is the same one.
    pub fn open_listeners(&mut self, id: u32, network: OwnedFd) -> Result<(), NodeError> {
        let scope = self.scopes.get_mut(&id).ok_or(PodError::Unknown)?;
        let is_same = scope.listeners.as_ref().is_some_and(|known| {
            let there = known.network().map(|there| is_same(there, &network));
            there.unwrap_or(false)
        });
        if !is_same {
            let opened = Listeners::open_in(network).map_err(PodError::Listeners)?;
            scope.listeners = Some(opened);
            keep_servers(&mut self.maps, scope)?;
        }
        self.apply_settings(id)
    }
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let number = |file: &OwnedFd| {
        let stat = rustix::fs::fstat(file.as_fd()).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    number(one).is_some_and(|one| number(other) == Some(one))
}

/// Marks the cgroups of a pod that the kernel has not marked: they were there before it was told of the pod. What is in
/// such a container was not seen to begin, so that it has no root. Whether there is a cgroup at all.
///
/// It looks again until it finds nothing new: what was made beside a first look, in a cgroup that was not marked yet, is
/// found by the second, and what is made after that the kernel marks itself.
pub(super) fn mark(maps: &mut Maps, scope: u32, cgroup: &PodCgroup) -> Result<bool, NodeError> {
    loop {
        let ids = cgroup.ids().map_err(PodError::Cgroups)?;
        let mut is_new = false;
        for (place, id) in ids.iter().enumerate() {
            let kind = if place == 0 {
                container::POD
            } else {
                container::BEGUN
            };
            if maps.cgroup(*id).map(|(of, _)| of) != Some(scope) {
                maps.mark_cgroup(*id, scope, kind)?;
                is_new = true;
            }
        }
        if !is_new {
            return Ok(!ids.is_empty());
        }
    }
}

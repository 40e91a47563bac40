//! What one node has to know, and what changes between two such.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lanyard_access::object::{ObjectKey, Uid};
use lanyard_protocol::nodes::{Base, Delta, NodeAgent, NodePod};

/// What one node has to know. Parts are shared between views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The agents of its pods.
    pub agents: BTreeMap<ObjectKey, Arc<NodeAgent>>,
    /// Its pods.
    pub pods: BTreeMap<Uid, Arc<NodePod>>,
}

impl View {
    /// The grants of agents that are not the same in both.
    pub fn grants_unlike(&self, other: &Self) -> BTreeSet<ObjectKey> {
        let unlike = |one: &Self, other: &Self| -> Vec<Arc<NodeAgent>> {
            let agents = one.agents.iter();
            let agents = agents.filter(|(key, agent)| {
                let same = other.agents.get(*key);
                same.is_none_or(|same| !Arc::ptr_eq(same, agent))
            });
            agents.map(|(_, agent)| agent.clone()).collect()
        };
        let agents = unlike(self, other).into_iter().chain(unlike(other, self));
        let keys = agents.flat_map(|agent| {
            let grants = agent.desired.grants.iter();
            grants.map(|grant| grant.key.clone()).collect::<Vec<_>>()
        });
        keys.collect()
    }

    /// What turns `old` into this one; all of this one when there is no old one.
    pub fn since(&self, old: Option<(u64, &Self)>, epoch: u64, version: u64) -> Delta {
        let nothing = Self::default();
        let (base, old) = match old {
            Some((version, old)) => (Base::Version(version), old),
            None => (Base::Nothing, &nothing),
        };
        Delta {
            epoch,
            base,
            version,
            agents: changed(&old.agents, &self.agents),
            gone_agents: gone(&old.agents, &self.agents),
            pods: changed(&old.pods, &self.pods),
            gone_pods: gone(&old.pods, &self.pods),
        }
    }
}

fn changed<K: Ord + Clone, V: PartialEq + Clone>(
    old: &BTreeMap<K, Arc<V>>,
    new: &BTreeMap<K, Arc<V>>,
) -> BTreeMap<K, V> {
    let same = |key: &K, value: &Arc<V>| {
        let old = old.get(key);
        old.is_some_and(|old| Arc::ptr_eq(old, value) || old == value)
    };
    let new = new.iter().filter(|(key, value)| !same(key, value));
    new.map(|(key, value)| (key.clone(), V::clone(value)))
        .collect()
}

fn gone<K: Ord + Clone, V>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> BTreeSet<K> {
    let gone = old.keys().filter(|key| !new.contains_key(key));
    gone.cloned().collect()
}

//! What changed for one node.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_access::object::{ObjectKey, Uid};

use super::{NodeAgent, NodePod, NodesError, agent::decode_uid, wire};

/// What changed for one node, or all that it has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// Who says so: one life of one replica.
    pub epoch: u64,
    /// What it changes.
    pub base: Base,
    /// The version that it makes.
    pub version: u64,
    /// Agents that are new or different.
    pub agents: BTreeMap<ObjectKey, NodeAgent>,
    /// Agents that no pod of the node has any more, or that are not written any more.
    pub gone_agents: BTreeSet<ObjectKey>,
    /// Pods that are new or different.
    pub pods: BTreeMap<Uid, NodePod>,
    /// Pods that are gone.
    pub gone_pods: BTreeSet<Uid>,
}

/// What a delta changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Nothing: it replaces everything.
    Nothing,
    /// The state of this version. A node with another one lacks something, and follows anew.
    Version(u64),
}

impl Delta {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.base != Base::Nothing
            && self.agents.is_empty()
            && self.gone_agents.is_empty()
            && self.pods.is_empty()
            && self.gone_pods.is_empty()
    }

    /// The delta as it is sent.
    pub fn encode(&self) -> wire::Delta {
        let (complete, from_version) = match self.base {
            Base::Nothing => (true, 0),
            Base::Version(version) => (false, version),
        };
        wire::Delta {
            epoch: self.epoch,
            from_version,
            version: self.version,
            complete,
            agents: self.agents.values().map(NodeAgent::encode).collect(),
            gone_agents: self.gone_agents.iter().map(ToString::to_string).collect(),
            pods: self.pods.values().map(NodePod::encode).collect(),
            gone_pods: self.gone_pods.iter().map(ToString::to_string).collect(),
        }
    }

    /// The delta as it was sent.
    pub fn decode(delta: wire::Delta) -> Result<Self, NodesError> {
        let base = match (delta.complete, delta.from_version) {
            (true, 0) => Base::Nothing,
            (false, version) if version < delta.version => Base::Version(version),
            (true | false, _) => return Err(NodesError::Base),
        };
        let agents = delta.agents.into_iter().map(|agent| {
            let agent = NodeAgent::decode(agent)?;
            Ok((agent.desired.key.clone(), agent))
        });
        let pods = delta.pods.into_iter().map(|pod| {
            let pod = NodePod::decode(pod)?;
            Ok((pod.uid.clone(), pod))
        });
        let gone_agents = delta.gone_agents.into_iter().map(|key| {
            let key = key.parse::<ObjectKey>();
            key.map_err(|error| NodesError::Key(error, "agents that are gone"))
        });
        let gone_pods = delta.gone_pods.into_iter();
        let gone_pods = gone_pods.map(|uid| decode_uid(uid, "uid of a pod that is gone"));
        let agents = each_once(agents, "agents")?;
        let pods = each_once(pods, "pods")?;
        let gone_agents = gone_agents.collect::<Result<BTreeSet<_>, _>>()?;
        let gone_pods = gone_pods.collect::<Result<BTreeSet<_>, _>>()?;
        if gone_agents.iter().any(|key| agents.contains_key(key)) {
            return Err(NodesError::Order("agents"));
        }
        if gone_pods.iter().any(|uid| pods.contains_key(uid)) {
            return Err(NodesError::Order("pods"));
        }
        if base == Base::Nothing && !(gone_agents.is_empty() && gone_pods.is_empty()) {
            return Err(NodesError::Base);
        }
        Ok(Self {
            epoch: delta.epoch,
            base,
            version: delta.version,
            agents,
            gone_agents,
            pods,
            gone_pods,
        })
    }
}

fn each_once<K: Ord, V>(
    pairs: impl Iterator<Item = Result<(K, V), NodesError>>,
    what: &'static str,
) -> Result<BTreeMap<K, V>, NodesError> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let (key, value) = pair?;
        if map.insert(key, value).is_some() {
            return Err(NodesError::Order(what));
        }
    }
    Ok(map)
}

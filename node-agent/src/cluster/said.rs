//! What the operator has said, in order: what a node works from is one of its versions, and never a mixture of two.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use lanyard_access::object::{ObjectKey, ObjectName};
use lanyard_protocol::nodes::{Base, Delta, NodePod, ResumePoint};
use thiserror::Error;

use super::directory::Directory;
use crate::{
    kernel::{MapError, clock::Moment},
    node::Shared,
    scope::pod::PodUid,
};

/// Why what was said does not hold here.
#[derive(Debug, Error)]
pub(super) enum SaidError {
    /// Something in between was not heard.
    #[error("version {found} was expected to follow {expected:?}")]
    Gap {
        /// Where this node stands.
        expected: Option<ResumePoint>,
        /// What the message is made on.
        found: u64,
    },
    /// A pod's uid is none.
    #[error("{0}")]
    Pod(#[from] crate::scope::pod::ParsePodUidError),
    /// Somebody ends enforcement on this node.
    #[error("enforcement on this node is being ended")]
    Ending,
    /// The lease could not be written.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// Where a node stands in what the operator says.
pub(super) struct Said {
    node: Shared,
    directory: Rc<Directory>,
    position: Option<ResumePoint>,
    /// How long grants hold that the operator is not heard of.
    staleness: Duration,
}

impl Said {
    /// Nothing has been said.
    pub(super) fn new(node: Shared, directory: Rc<Directory>, staleness: Duration) -> Self {
        Self {
            node,
            directory,
            position: None,
            staleness,
        }
    }

    /// Where to go on from.
    pub(super) const fn position(&self) -> Option<ResumePoint> {
        self.position
    }

    /// What was said does not follow what is known: everything is asked for anew. What holds, holds meanwhile.
    pub(super) fn lose_position(&mut self) {
        self.position = None;
    }

    /// The operator lives, and has nothing new to say. Of a node that knows none of its versions this says nothing: what
    /// an earlier node agent was told may have been taken back since.
    pub(super) fn beat(&self, now: Moment) -> Result<(), MapError> {
        match self.position {
            Some(_) => self.extend_lease(now),
            None => Ok(()),
        }
    }

    fn extend_lease(&self, now: Moment) -> Result<(), MapError> {
        let staleness = u64::try_from(self.staleness.as_nanos()).unwrap_or(u64::MAX);
        let until = now.boot.saturating_add(staleness);
        self.node.borrow_mut().maps.set_lease(until)
    }

    /// Makes one version hold, the next one or a complete one: the kernel and the brokers know it when this returns.
    pub(super) fn apply(&mut self, delta: Delta, now: Moment) -> Result<(), SaidError> {
        follows(self.position, &delta)?;
        if self.node.borrow().draining {
            return Err(SaidError::Ending);
        }
        let pods = delta.pods.values();
        let pods: Vec<(PodUid, ObjectKey)> = pods
            .map(|pod| Ok((pod.uid.to_string().parse()?, agent_of(pod))))
            .collect::<Result<_, SaidError>>()?;
        let gone: Vec<PodUid> = delta
            .gone_pods
            .iter()
            .map(|uid| uid.to_string().parse())
            .collect::<Result<_, _>>()?;
        let is_complete = delta.base == Base::Nothing;
        let position = ResumePoint {
            epoch: delta.epoch,
            version: delta.version,
        };
        self.apply_agents(delta, is_complete, now);
        // Only now: a pod whose agent is not known is not published.
        for uid in &gone {
            self.directory.remove(uid);
        }
        if is_complete {
            let known: BTreeSet<PodUid> = pods.iter().map(|(uid, _)| uid.clone()).collect();
            self.directory.retain(&known);
        }
        for (uid, agent) in pods {
            self.directory.put(uid, agent);
        }
        // What was taken back while the operator was not heard is gone before anything holds again.
        self.extend_lease(now)?;
        self.position = Some(position);
        Ok(())
    }

    fn apply_agents(&self, delta: Delta, is_complete: bool, now: Moment) {
        let mut node = self.node.borrow_mut();
        let mut gone: Vec<ObjectKey> = delta.gone_agents.into_iter().collect();
        if is_complete {
            let known = node.compiler.received();
            gone.extend(known.filter(|key| !delta.agents.contains_key(key)).cloned());
        }
        for key in gone {
            node.compiler.receive(&key, None);
        }
        let nobody = unidentified();
        let agents = delta.agents.into_iter();
        for (key, agent) in agents.filter(|(key, _)| key.name != nobody) {
            node.compiler.receive(&key, Some(agent.desired));
        }
        node.apply(now, None);
        if is_complete {
            // Also of agents of which an earlier node agent knew, and nobody knows any more.
            let scopes: Vec<u32> = node.scopes.keys().copied().collect();
            for scope in scopes {
                node.apply_to_scope(scope, now);
            }
        }
    }
}

/// Whether a version is the next one here, or complete.
fn follows(position: Option<ResumePoint>, delta: &Delta) -> Result<(), SaidError> {
    match delta.base {
        Base::Nothing => Ok(()),
        Base::Version(found) => {
            let is_next = position.is_some_and(|at| at.epoch == delta.epoch && at.version == found);
            if is_next {
                Ok(())
            } else {
                Err(SaidError::Gap {
                    expected: position,
                    found,
                })
            }
        }
    }
}

/// Whose a pod is. One without an identity is fenced as well, and nothing is ever granted to it: it is of an agent that
/// is never taken up here.
fn agent_of(pod: &NodePod) -> ObjectKey {
    pod.identity_key().unwrap_or_else(|| ObjectKey {
        namespace: pod.key.namespace.clone(),
        name: unidentified(),
    })
}

fn unidentified() -> ObjectName {
    const NAME: &str = "unidentified.lanyard.dev";
    NAME.parse()
        .unwrap_or_else(|_| unreachable!("{NAME} is a name"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn delta(epoch: u64, base: Base, version: u64) -> Delta {
        Delta {
            epoch,
            base,
            version,
            agents: BTreeMap::new(),
            gone_agents: BTreeSet::new(),
            pods: BTreeMap::new(),
            gone_pods: BTreeSet::new(),
        }
    }

    const HERE: Option<ResumePoint> = Some(ResumePoint {
        epoch: 3,
        version: 7,
    });

    #[test]
    fn the_next_version_follows_and_a_complete_one_always_does() {
        for position in [None, HERE] {
            assert!(follows(position, &delta(9, Base::Nothing, 1)).is_ok());
        }
        assert!(follows(HERE, &delta(3, Base::Version(7), 8)).is_ok());
        assert!(follows(HERE, &delta(3, Base::Version(7), 12)).is_ok());
    }

    #[test]
    fn what_was_missed_is_noticed() {
        for (position, epoch, base) in [(None, 3, 7), (HERE, 3, 6), (HERE, 3, 8), (HERE, 4, 7)] {
            let refused = follows(position, &delta(epoch, Base::Version(base), 20));
            assert!(
                matches!(refused, Err(SaidError::Gap { found, .. }) if found == base),
                "{position:?} {epoch} {base}"
            );
        }
    }

    #[test]
    fn a_pod_without_an_identity_is_nobodys() {
        assert_eq!(unidentified().as_str(), "unidentified.lanyard.dev");
    }
}

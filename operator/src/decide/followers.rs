//! Nodes that follow: what each was told, what it said to that, and what it is told next.
//!
//! Nothing waits in a queue for a node. What it is told next is the difference between what it was told
//! last and what holds when it can be told, so that a slow node costs no more than a fast one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lanyard_access::object::{ObjectKey, ObjectName};
use lanyard_protocol::nodes::{Delta, ResumePoint};

use super::view::View;

/// How many versions a node may leave unacknowledged before it is told no more.
pub const MOST_UNACKNOWLEDGED: usize = 16;

/// Every node that follows, or did.
#[derive(Debug)]
pub struct Followers {
    epoch: u64,
    sessions: u64,
    by_node: BTreeMap<ObjectName, Follower>,
}

#[derive(Debug, Default)]
struct Follower {
    /// The stream it listens on.
    session: Option<u64>,
    /// Whether that stream was told anything yet.
    is_told: bool,
    version: u64,
    /// The last acknowledged version and all that came after it.
    told: VecDeque<(u64, View)>,
    acknowledged: Option<u64>,
    refused: Option<(u64, String)>,
}

/// The stream was replaced by a newer one of the same node, or nobody may follow here any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another stream of this node took over, or another replica leads")]
pub struct Superseded;

/// What a node said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word<'a> {
    /// This holds on it.
    Holds(&'a View),
    /// It could not put something into force.
    Refused(&'a str),
    /// Nothing yet.
    Silent,
}

impl Followers {
    /// Nobody follows yet. `epoch` is of this life of this replica and of no other.
    pub const fn new(epoch: u64) -> Self {
        Self {
            epoch,
            sessions: 0,
            by_node: BTreeMap::new(),
        }
    }

    /// How many listen now.
    pub fn connected(&self) -> usize {
        let followers = self.by_node.values();
        followers
            .filter(|follower| follower.session.is_some())
            .count()
    }

    /// A node begins to listen: the number of its stream. An older one of the same node ends.
    pub fn hello(&mut self, node: &ObjectName, resume: Option<ResumePoint>) -> u64 {
        self.sessions += 1;
        let follower = self.by_node.entry(node.clone()).or_default();
        follower.session = Some(self.sessions);
        let resume = resume.filter(|resume| resume.epoch == self.epoch);
        let known = resume.is_some_and(|resume| follower.acknowledge(resume.version));
        if known {
            // What it did not hear is told again, from where it is.
            follower.told.truncate(1);
        } else {
            follower.told.clear();
            follower.acknowledged = None;
        }
        follower.refused = None;
        follower.is_told = known;
        self.sessions
    }

    /// What to tell a node now, if anything: all of it first, or what changed since it last heard.
    pub fn next(
        &mut self,
        node: &ObjectName,
        session: u64,
        view: &View,
    ) -> Result<Option<Delta>, Superseded> {
        let epoch = self.epoch;
        let follower = self.of_session(node, session)?;
        if follower.told.len() > MOST_UNACKNOWLEDGED {
            return Ok(None);
        }
        let last = follower.told.back().filter(|_| follower.is_told);
        let last = last.map(|(version, view)| (*version, view));
        let delta = view.since(last, epoch, follower.version + 1);
        if delta.is_empty() {
            return Ok(None);
        }
        follower.is_told = true;
        follower.version = delta.version;
        follower.told.push_back((delta.version, view.clone()));
        Ok(Some(delta))
    }

    /// A node says that a version holds on it. The grants of which it says something new.
    pub fn acknowledge(
        &mut self,
        node: &ObjectName,
        session: u64,
        version: u64,
    ) -> Result<BTreeSet<ObjectKey>, Superseded> {
        let follower = self.of_session(node, session)?;
        let before = follower.held().cloned().unwrap_or_default();
        let was_known = follower.acknowledged.is_some();
        if follower.acknowledged >= Some(version) || !follower.acknowledge(version) {
            return Ok(BTreeSet::new());
        }
        let was_refused = follower.refused.take_if(|(refused, _)| *refused <= version);
        let now = follower.held().cloned().unwrap_or_default();
        let before = if was_known && was_refused.is_none() {
            before
        } else {
            View::default()
        };
        Ok(before.grants_unlike(&now))
    }

    /// A node says that a version does not hold on it. The grants that it knows.
    pub fn refuse(
        &mut self,
        node: &ObjectName,
        session: u64,
        version: u64,
        reason: String,
    ) -> Result<BTreeSet<ObjectKey>, Superseded> {
        let follower = self.of_session(node, session)?;
        follower.refused = Some((version, reason));
        let told = follower.told.back();
        Ok(told
            .map(|(_, told)| told.grants_unlike(&View::default()))
            .unwrap_or_default())
    }

    /// A stream ended. What its node knows is kept for when it comes back.
    pub fn bye(&mut self, node: &ObjectName, session: u64) {
        if let Ok(follower) = self.of_session(node, session) {
            follower.session = None;
        }
    }

    /// Ends every stream.
    pub fn dismiss(&mut self) {
        for follower in self.by_node.values_mut() {
            follower.session = None;
        }
    }

    /// Forgets nodes that neither listen nor are `wanted`.
    pub fn forget_all_but(&mut self, wanted: impl Fn(&ObjectName) -> bool) {
        self.by_node
            .retain(|node, follower| follower.session.is_some() || wanted(node));
    }

    /// What a node said last.
    pub fn word_of(&self, node: &ObjectName) -> Word<'_> {
        let Some(follower) = self.by_node.get(node) else {
            return Word::Silent;
        };
        if let Some((_, reason)) = &follower.refused {
            return Word::Refused(reason);
        }
        follower.held().map_or(Word::Silent, Word::Holds)
    }

    fn of_session(&mut self, node: &ObjectName, session: u64) -> Result<&mut Follower, Superseded> {
        let follower = self.by_node.get_mut(node);
        let follower = follower.filter(|follower| follower.session == Some(session));
        follower.ok_or(Superseded)
    }
}

impl Follower {
    /// What holds on the node.
    fn held(&self) -> Option<&View> {
        let held = self.acknowledged?;
        let told = self.told.iter().find(|(version, _)| *version == held);
        told.map(|(_, view)| view)
    }

    /// Whether that version is known; what came before it is forgotten.
    fn acknowledge(&mut self, version: u64) -> bool {
        let is_known = self.told.iter().any(|(told, _)| *told == version);
        if is_known {
            self.told.retain(|(told, _)| *told >= version);
            self.acknowledged = Some(version);
        }
        is_known
    }
}

#[cfg(test)]
mod tests;

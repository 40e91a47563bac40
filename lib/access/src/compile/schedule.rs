//! Which agents change by time alone, and when.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::object::ObjectKey;

/// At most one moment for each agent: the first at which it must be compiled again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    moments: BTreeSet<(Timestamp, ObjectKey)>,
    moment_of: BTreeMap<ObjectKey, Timestamp>,
}

impl Schedule {
    /// The first moment of all.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.moments.first().map(|(at, _)| *at)
    }

    /// Replaces the agent's moment.
    pub(super) fn set(&mut self, agent: &ObjectKey, at: Option<Timestamp>) {
        if let Some(old) = self.moment_of.remove(agent) {
            self.moments.remove(&(old, agent.clone()));
        }
        if let Some(at) = at {
            self.moment_of.insert(agent.clone(), at);
            self.moments.insert((at, agent.clone()));
        }
    }

    /// Takes out the agents whose moment has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<ObjectKey> {
        let mut due = Vec::new();
        while self.first().is_some_and(|at| at <= now) {
            if let Some((_, agent)) = self.moments.pop_first() {
                self.moment_of.remove(&agent);
                due.push(agent);
            }
        }
        due
    }
}

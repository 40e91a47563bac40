//! Agents that another compiler has compiled: a node of a cluster gets them from its operator.
//!
//! What the other one decided is not decided again. What only this place knows still counts: the time, and how much was
//! carried under a grant.

use jiff::Timestamp;

use super::{super::history::History, Compiler, Delta};
use crate::{
    desired::{DesiredAgent, GrantStanding, LiveGrant},
    object::ObjectKey,
    reason::GrantReason,
};

impl Compiler {
    /// Notes an agent as another compiler has compiled it, or that it is gone. Nothing follows from it before
    /// [`Self::compile`].
    pub fn receive(&mut self, key: &ObjectKey, agent: Option<DesiredAgent>) {
        debug_assert!(agent.iter().all(|agent| agent.key == *key));
        super::put(&mut self.received, key, agent);
        self.dirty.insert(key.clone());
    }

    /// The agents that were received.
    pub fn received(&self) -> impl Iterator<Item = &ObjectKey> {
        self.received.keys()
    }

    /// A grant of an agent that was received.
    pub fn received_grant(&self, key: &ObjectKey) -> Option<&LiveGrant> {
        let mut grants = self.received.values().flat_map(|agent| &agent.grants);
        grants.find(|grant| grant.key == *key)
    }

    /// Revokes a received grant here, whatever the other compiler says of this life of it from now on. False if there
    /// is none.
    pub fn revoke_received(&mut self, key: &ObjectKey) -> bool {
        let found = self.received.iter().find_map(|(agent, received)| {
            let grant = received.grants.iter().find(|grant| grant.key == *key)?;
            Some((agent.clone(), grant.uid.clone()))
        });
        let Some((agent, uid)) = found else {
            return false;
        };
        self.history.revoke(key, &uid);
        self.dirty.insert(agent);
        true
    }

    /// Forgets where grants stood that an agent was received with, and is not any more.
    pub(super) fn forget_withdrawn(
        &mut self,
        agent: &ObjectKey,
        standings: &[(ObjectKey, GrantStanding)],
        delta: &mut Delta,
    ) {
        let is_withdrawn = |(key, standing): &(&ObjectKey, &GrantStanding)| {
            standing.identity == *agent
                && !self.written.grants.contains_key(*key)
                && standings.iter().all(|(known, _)| known != *key)
        };
        let known = self.desired.grants.iter();
        let withdrawn: Vec<ObjectKey> = known
            .filter(is_withdrawn)
            .map(|(key, _)| key.clone())
            .collect();
        for key in withdrawn {
            if let Some(standing) = self.desired.grants.remove(&key) {
                // What was carried under it, and that it was revoked, is remembered for a while.
                self.history.bury(&key, &standing.uid);
            }
            delta.grants.insert(key);
        }
    }

    /// What follows from a received agent at `now`; nothing if it was not received.
    pub(super) fn received_at(
        &self,
        key: &ObjectKey,
        now: Timestamp,
    ) -> Option<(DesiredAgent, Vec<(ObjectKey, GrantStanding)>)> {
        let agent = self.received.get(key)?;
        let standing = |grant: &LiveGrant| standing_of(grant, key, &self.history, now);
        let standings: Vec<_> = agent
            .grants
            .iter()
            .map(|grant| (grant.key.clone(), standing(grant)))
            .collect();
        let mut live = agent.clone();
        live.grants
            .retain(|grant| standing(grant).reason == GrantReason::Active);
        Some((live, standings))
    }
}

fn standing_of(
    grant: &LiveGrant,
    agent: &ObjectKey,
    history: &History,
    now: Timestamp,
) -> GrantStanding {
    let past = history.past_of(&grant.key, &grant.uid, &grant.spec_hash);
    let reason = if history.is_revoked(&grant.key, &grant.uid) {
        GrantReason::Revoked
    } else if grant.ends_at <= now {
        GrantReason::Expired
    } else if past.used_up {
        GrantReason::UsedUp
    } else {
        GrantReason::Active
    };
    GrantStanding {
        uid: grant.uid.clone(),
        spec_hash: grant.spec_hash,
        identity: agent.clone(),
        reason,
        activated_at: None,
        ends_at: Some(grant.ends_at),
        changes_at: (reason == GrantReason::Active).then_some(grant.ends_at),
    }
}

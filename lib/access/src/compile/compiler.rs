//! Remembers what is compiled, and compiles again only what a change or the time touches.

mod received;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    Written, agent_of,
    history::{History, Past},
    index::Index,
    schedule::Schedule,
    standing::standing_after,
};
use crate::{
    approval::Approval,
    credential::CredentialSource,
    desired::{Desired, DesiredAgent, GrantStanding},
    digest::Sha256Digest,
    grant::Grant,
    identity::Identity,
    object::{ObjectKey, ObjectName, Uid},
    policy::Policy,
};

/// One object written, or gone (`None`), under its own key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a change is applied as soon as it is made; most of them are of grants"
)]
pub enum Change {
    /// An identity.
    Identity(ObjectKey, Option<Identity>),
    /// A grant.
    Grant(ObjectKey, Option<Grant>),
    /// A credential.
    Credential(ObjectKey, Option<CredentialSource>),
    /// A policy.
    Policy(ObjectName, Option<Policy>),
    /// An approval.
    Approval(ObjectKey, Option<Approval>),
}

/// What a compilation changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Agents that are new, different or gone.
    pub agents: BTreeSet<ObjectKey>,
    /// Grants whose standing is new, different or gone.
    pub grants: BTreeSet<ObjectKey>,
}

/// Keeps what is written and what follows from it.
///
/// A change costs what the agents that it touches have in grants, times the number of policies, for an
/// agent is compiled as a whole; how much else is written matters only as the depth of ordered maps.
/// What costs more:
///
/// - a policy touches the agents of all grants it applies to. They are looked for among the grants for
///   its hosts (for an address or a network: among all grants for such), else among those in its namespaces, and a policy without either is about every grant;
/// - a `now` before that of the last [`Self::compile`] compiles every agent;
/// - [`Self::replace`] compares every object.
#[derive(Debug, Default)]
pub struct Compiler {
    written: Written,
    /// What another compiler has compiled; an agent is either written here or received.
    received: BTreeMap<ObjectKey, DesiredAgent>,
    desired: Desired,
    history: History,
    index: Index,
    schedule: Schedule,
    /// Agents to compile.
    dirty: BTreeSet<ObjectKey>,
    /// Grants that went since the last compilation; some may have come back.
    gone: BTreeSet<ObjectKey>,
    compiled_at: Option<Timestamp>,
}

impl Compiler {
    /// A compiler that remembers what an earlier one had [found out](Self::history).
    pub fn with_history(history: History) -> Self {
        Self {
            history,
            ..Self::default()
        }
    }

    /// What follows from what is written, as of the last [`Self::compile`].
    pub const fn desired(&self) -> &Desired {
        &self.desired
    }

    /// Gives up the rest.
    pub fn into_desired(self) -> Desired {
        self.desired
    }

    /// What is written, where each grant has the moment it was first ready and, once revoked, stays so.
    pub const fn written(&self) -> &Written {
        &self.written
    }

    /// What a later compiler must know of this one.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// When the next change by time alone is due.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.schedule.first()
    }

    /// Takes everything anew: what is not in `written` is gone.
    pub fn replace(&mut self, written: Written) {
        let Written {
            identities,
            grants,
            credentials,
            policies,
            approvals,
        } = written;
        let grants = grants.into_iter();
        let grants = grants.map(|(key, grant)| (key, self.history.recall(grant)));
        let grants = grants.collect();
        for (key, value) in changes(&self.written.identities, identities) {
            self.apply(Change::Identity(key, value));
        }
        for (key, value) in changes(&self.written.credentials, credentials) {
            self.apply(Change::Credential(key, value));
        }
        for (key, value) in changes(&self.written.approvals, approvals) {
            self.apply(Change::Approval(key, value));
        }
        for (key, value) in changes(&self.written.policies, policies) {
            self.apply(Change::Policy(key, value));
        }
        for (key, value) in changes(&self.written.grants, grants) {
            self.apply(Change::Grant(key, value));
        }
        self.history.bury_all_but(&self.written.grants);
    }

    /// Notes one change. Nothing follows from it before [`Self::compile`].
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Identity(key, identity) => {
                debug_assert!(identity.iter().all(|identity| identity.key == key));
                put(&mut self.written.identities, &key, identity);
                self.dirty.insert(key);
            }
            Change::Grant(key, grant) => self.apply_grant(&key, grant),
            Change::Credential(key, credential) => {
                debug_assert!(credential.iter().all(|credential| credential.key == key));
                put(&mut self.written.credentials, &key, credential);
                let users = self.index.grants_of_credential(&key);
                let users = users.filter_map(|grant| self.written.grants.get(grant));
                self.dirty.extend(users.map(|grant| grant.identity.clone()));
            }
            Change::Policy(name, policy) => self.apply_policy(&name, policy),
            Change::Approval(key, approval) => self.apply_approval(&key, approval),
        }
    }

    /// Notes that as much was carried under a grant as it allows: it gives nothing more. About another life or
    /// spec of that key it says nothing.
    pub fn use_up(&mut self, key: &ObjectKey, uid: &Uid, spec: &Sha256Digest) {
        let used_up = Past {
            used_up: true,
            ..Past::default()
        };
        self.history.remember(key, uid, spec, used_up);
        let written = self.written.grants.get(key).map(|grant| &grant.identity);
        let known = self.desired.grants.get(key).map(|known| &known.identity);
        self.dirty.extend(written.or(known).cloned());
    }

    /// Notes what an earlier compiler had found out about one life and spec of a grant, as the caller kept it.
    pub fn remember(&mut self, key: &ObjectKey, uid: &Uid, spec: &Sha256Digest, past: Past) {
        let known = self.history.past_of(key, uid, spec);
        self.history.remember(key, uid, spec, past);
        if self.history.past_of(key, uid, spec) != known
            && let Some(grant) = self.written.grants.get(key)
        {
            self.dirty.insert(grant.identity.clone());
        }
    }

    fn apply_grant(&mut self, key: &ObjectKey, grant: Option<Grant>) {
        debug_assert!(grant.iter().all(|grant| grant.key == *key));
        let grant = grant.map(|grant| self.history.admit(grant));
        if let Some(old) = self.written.grants.get(key) {
            self.index.unlink_grant(key, old);
            self.dirty.insert(old.identity.clone());
            if grant.as_ref().is_none_or(|new| new.uid != old.uid) {
                self.history.bury(key, &old.uid);
            }
        }
        if let Some(new) = &grant {
            self.index.link_grant(key, new);
            self.dirty.insert(new.identity.clone());
        } else {
            self.gone.insert(key.clone());
        }
        put(&mut self.written.grants, key, grant);
    }

    fn apply_policy(&mut self, name: &ObjectName, policy: Option<Policy>) {
        debug_assert!(policy.iter().all(|policy| policy.name == *name));
        let old = self.written.policies.get(name);
        for policy in old.into_iter().chain(&policy) {
            let agents = self.index.agents_under(policy, &self.written);
            self.dirty.extend(agents);
        }
        put(&mut self.written.policies, name, policy);
    }

    fn apply_approval(&mut self, key: &ObjectKey, approval: Option<Approval>) {
        debug_assert!(approval.iter().all(|approval| approval.key == *key));
        let old = self.written.approvals.get(key);
        for approval in old.into_iter().chain(&approval) {
            if let Some(grant) = self.written.grants.get(&approval.grant) {
                self.dirty.insert(grant.identity.clone());
            }
        }
        if let Some(old) = old {
            self.index.unlink_approval(key, old);
        }
        if let Some(new) = &approval {
            self.index.link_approval(key, new);
        }
        put(&mut self.written.approvals, key, approval);
    }

    /// Compiles what changes and the time since the last call have touched.
    ///
    /// `now` may lie before that of an earlier call: no grant ends later for it, and none that ended
    /// gives access again.
    pub fn compile(&mut self, now: Timestamp) -> Delta {
        if self.compiled_at.is_some_and(|before| now < before) {
            self.dirty.extend(self.index.agents().cloned());
            self.dirty.extend(self.received.keys().cloned());
        }
        self.compiled_at = Some(now);
        self.dirty.extend(self.schedule.take_due(now));
        let mut delta = Delta::default();
        for key in std::mem::take(&mut self.gone) {
            let is_gone = !self.written.grants.contains_key(&key);
            if is_gone && self.desired.grants.remove(&key).is_some() {
                delta.grants.insert(key);
            }
        }
        for agent in std::mem::take(&mut self.dirty) {
            self.compile_agent(&agent, now, &mut delta);
        }
        delta
    }

    fn compile_agent(&mut self, agent: &ObjectKey, now: Timestamp, delta: &mut Delta) {
        let (new, standings) = match self.received_at(agent, now) {
            Some((new, standings)) => (Some(new), standings),
            None => self.written_at(agent, now),
        };
        let moments = standings.iter();
        let moments = moments.filter_map(|(_, standing)| standing.changes_at);
        self.schedule.set(agent, moments.min());
        if !self.written.identities.contains_key(agent) {
            self.forget_withdrawn(agent, &standings, delta);
        }
        if self.desired.agents.get(agent) != new.as_ref() {
            put(&mut self.desired.agents, agent, new);
            delta.agents.insert(agent.clone());
        }
        for (key, standing) in standings {
            if self.desired.grants.get(&key) != Some(&standing) {
                self.desired.grants.insert(key.clone(), standing);
                delta.grants.insert(key);
            }
        }
    }

    /// What follows from what is written of an agent.
    fn written_at(
        &mut self,
        agent: &ObjectKey,
        now: Timestamp,
    ) -> (Option<DesiredAgent>, Vec<(ObjectKey, GrantStanding)>) {
        let standings = self.standings_of(agent, now);
        let new = self.written.identities.get(agent).map(|identity| {
            let grants = standings.iter();
            let grants = grants.filter_map(|(key, standing)| {
                Some((self.written.grants.get(key)?, standing.clone()))
            });
            agent_of(identity, &self.written.credentials, grants)
        });
        (new, standings)
    }

    /// Where each grant of `agent` stands; what must outlast this moment goes into the history.
    fn standings_of(
        &mut self,
        agent: &ObjectKey,
        now: Timestamp,
    ) -> Vec<(ObjectKey, GrantStanding)> {
        let mut standings = Vec::new();
        let mut news = Vec::new();
        for key in self.index.grants_of_agent(agent) {
            // The index and what is written change together, in `apply_grant`.
            let Some(grant) = self.written.grants.get(key) else {
                continue;
            };
            let past = self.history.past_of(key, &grant.uid, &grant.spec_hash);
            let approvals = self.index.approvals_of_grant(key);
            let approvals = approvals.filter_map(|key| self.written.approvals.get(key));
            let (standing, new_past) = standing_after(past, grant, &self.written, approvals, now);
            if new_past != past {
                news.push((key.clone(), new_past));
            }
            standings.push((key.clone(), standing));
        }
        for (key, past) in news {
            if let Some(grant) = self.written.grants.get_mut(&key) {
                grant.activated_at = past.activated_at;
                self.history
                    .remember(&key, &grant.uid, &grant.spec_hash, past);
            }
        }
        standings
    }
}

/// What turns `old` into `new`: nothing for what is equal in both.
fn changes<K: Ord + Clone, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: BTreeMap<K, V>,
) -> Vec<(K, Option<V>)> {
    let gone = old.keys().filter(|key| !new.contains_key(key));
    let gone: Vec<K> = gone.cloned().collect();
    let written = new.into_iter();
    let written = written.filter(|(key, value)| old.get(key) != Some(value));
    let written = written.map(|(key, value)| (key, Some(value)));
    gone.into_iter()
        .map(|key| (key, None))
        .chain(written)
        .collect()
}

fn put<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => {
            map.insert(key.clone(), value);
        }
        None => {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;

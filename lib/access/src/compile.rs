//! From what people wrote to what should be so.
//!
//! [`standing_of`] and [`agent_of`] are the rules; [`Compiler`] only remembers which agents a change
//! or the passing of time touches, so that its work is in proportion to the change.

mod approval;
mod compiler;
mod history;
mod index;
mod schedule;
mod standing;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::{
    compiler::{Change, Compiler, Delta},
    history::{History, Past},
    standing::standing_of,
};
use crate::{
    approval::Approval,
    credential::{CredentialSource, GrantedCredential},
    desired::{Desired, DesiredAgent, GrantStanding, LiveGrant},
    grant::Grant,
    identity::Identity,
    object::{ObjectKey, ObjectName},
    policy::Policy,
    reason::GrantReason,
};

/// What people wrote, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Agents.
    pub identities: BTreeMap<ObjectKey, Identity>,
    /// Permissions.
    pub grants: BTreeMap<ObjectKey, Grant>,
    /// Credentials.
    pub credentials: BTreeMap<ObjectKey, CredentialSource>,
    /// Guard rails.
    pub policies: BTreeMap<ObjectName, Policy>,
    /// Decisions of people, by the approval's own key.
    pub approvals: BTreeMap<ObjectKey, Approval>,
}

/// Compiles everything at once.
pub fn compile(written: Written, now: Timestamp) -> Desired {
    let mut compiler = Compiler::default();
    compiler.replace(written);
    compiler.compile(now);
    compiler.into_desired()
}

/// What one agent may reach, from all of its grants and where each of them stands.
pub fn agent_of<'a>(
    identity: &Identity,
    credentials: &BTreeMap<ObjectKey, CredentialSource>,
    grants: impl Iterator<Item = (&'a Grant, GrantStanding)>,
) -> DesiredAgent {
    let live = grants.filter_map(|(grant, standing)| {
        let ends_at = standing
            .ends_at
            .filter(|_| standing.reason == GrantReason::Active)?;
        // A grant whose credential is not written gives nothing, whatever was said of its standing.
        let credential = match &grant.credential {
            Some(key) => Some(granted(credentials.get(key)?)),
            None => None,
        };
        Some(LiveGrant {
            key: grant.key.clone(),
            uid: grant.uid.clone(),
            spec_hash: grant.spec_hash,
            requires: grant
                .requires
                .unwrap_or_else(|| identity.default_requirement()),
            resource: grant.resource.clone(),
            credential,
            limits: grant.limits,
            ends_at,
        })
    });
    let mut live: Vec<LiveGrant> = live.collect();
    live.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    DesiredAgent {
        key: identity.key.clone(),
        uid: identity.uid.clone(),
        processes: identity.processes.clone(),
        enforcement: identity.enforcement,
        process_access: identity.process_access,
        grants: live,
    }
}

fn granted(source: &CredentialSource) -> GrantedCredential {
    GrantedCredential {
        source: source.key.clone(),
        injection: source.injection.clone(),
    }
}

#[cfg(test)]
mod tests;

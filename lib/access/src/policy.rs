//! Guard rails of the platform: they only ever narrow.

use std::collections::BTreeSet;

use crate::{
    grant::Grant,
    host::Host,
    lifetime::GrantDuration,
    object::{Namespace, ObjectName},
};

/// An `AccessPolicy`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name; policies have no namespace.
    pub name: ObjectName,
    /// Namespaces it applies to; every one when empty.
    pub namespaces: BTreeSet<Namespace>,
    /// Hosts it applies to; every one when empty. An address or a network among them is meant with every
    /// grant that opens any of its addresses.
    pub hosts: BTreeSet<Host>,
    /// What it does to the grants it applies to.
    pub effect: Effect,
}

impl Policy {
    /// Whether it applies to `grant`.
    pub fn applies_to(&self, grant: &Grant) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(&grant.key.namespace))
            && (self.hosts.is_empty()
                || self
                    .hosts
                    .iter()
                    .any(|host| host.meets(&grant.resource.host)))
    }
}

/// What a policy does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing it applies to is granted.
    Deny,
    /// What it applies to stays within limits.
    Limit(Limits),
}

/// Limits of a policy. Of several policies all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The longest a grant may live from the moment it is first ready.
    pub max_duration: Option<GrantDuration>,
    /// Approvals without which a grant gives nothing.
    pub approval: Option<ApprovalRule>,
}

/// How many approvals a grant needs, and how long they are good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRule {
    /// How many different people.
    pub count: u32,
    /// How long each approval counts, from the moment it was given.
    pub valid_for: GrantDuration,
}

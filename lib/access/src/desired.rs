//! What should be so: the output of [`crate::compile`], and what nodes, kernel and broker work from.

mod reach;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::reach::{Ends, reach};
use crate::{
    credential::GrantedCredential,
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    grant::{Limits, Protocol, Resource},
    host::Host,
    identity::{Enforcement, ProcessAccess},
    object::{ObjectKey, Uid},
    port::Port,
    process::ProcessSelector,
    reason::GrantReason,
};

/// Everything that follows from what people wrote, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// What each agent may reach.
    pub agents: BTreeMap<ObjectKey, DesiredAgent>,
    /// Where each grant stands.
    pub grants: BTreeMap<ObjectKey, GrantStanding>,
}

/// What one agent is and may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredAgent {
    /// The identity.
    pub key: ObjectKey,
    /// This life of the identity.
    pub uid: Uid,
    /// Executed files that are this agent.
    pub processes: Vec<ProcessSelector>,
    /// Whether what is not granted is refused.
    pub enforcement: Enforcement,
    /// Who may look into its processes.
    pub process_access: ProcessAccess,
    /// Its live grants, in the order of their keys.
    pub grants: Vec<LiveGrant>,
}

impl DesiredAgent {
    /// The one kernel slot for each destination and level: when the last grant that a process of that
    /// level could use ends. Overlapping grants meet here, so that revoking one leaves exactly the other.
    pub fn slots(&self) -> BTreeMap<Destination, Ends<Timestamp>> {
        reach(self.grants.iter().map(|grant| (grant, grant.ends_at)))
    }
}

/// Where a packet may go, and who carries it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// A name, an address or a network.
    pub host: Host,
    /// The port.
    pub port: Port,
    /// How it is spoken to.
    pub protocol: Protocol,
}

impl Destination {
    /// The destinations a resource opens: its own, and that of `http://` URLs for a service that speaks
    /// HTTPS at its usual port.
    pub fn of(resource: &Resource) -> impl Iterator<Item = Self> {
        let at = |port, protocol| Self {
            host: resource.host.clone(),
            port,
            protocol,
        };
        let plain = resource.plain_port().map(|port| at(port, Protocol::Http));
        [at(resource.port, resource.protocol)]
            .into_iter()
            .chain(plain)
    }
}

/// A grant that gives access now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// Namespace and name.
    pub key: ObjectKey,
    /// This life of the object.
    pub uid: Uid,
    /// The spec it was compiled from.
    pub spec_hash: Sha256Digest,
    /// The evidence demanded.
    pub requires: EvidenceLevel,
    /// What it opens.
    pub resource: Resource,
    /// The credential the broker puts into requests.
    pub credential: Option<GrantedCredential>,
    /// How much may be carried under it.
    pub limits: Limits,
    /// When it ends: the earliest of its own end, its policies' limits and its approvals.
    pub ends_at: Timestamp,
}

/// Where a grant stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantStanding {
    /// This life of the object.
    pub uid: Uid,
    /// The spec this is about.
    pub spec_hash: Sha256Digest,
    /// The identity it is for.
    pub identity: ObjectKey,
    /// The reason of its `Ready` condition; `Active` alone means access.
    pub reason: GrantReason,
    /// When it was first ready. The caller keeps it, so that a duration never starts again; it moves
    /// only earlier, when a clock is found to have been ahead.
    pub activated_at: Option<Timestamp>,
    /// When it ends or ended, if it ever began.
    pub ends_at: Option<Timestamp>,
    /// When its standing may change by time alone.
    pub changes_at: Option<Timestamp>,
}

//! One time-bound permission, checked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    host::Host,
    lifetime::Lifetime,
    object::{ObjectKey, Uid},
    port::Port,
};

/// How the agent speaks to the host, which decides who carries the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP over TLS to a name, carried and decided request by request by the broker.
    Https,
    /// TCP to an address or a network, carried by the kernel alone.
    Tcp,
    /// UDP to an address or a network, carried by the kernel alone.
    Udp,
}

/// What a grant opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// A name for [`Protocol::Https`], an address or a network for [`Protocol::Tcp`] and
    /// [`Protocol::Udp`].
    pub host: Host,
    /// The one port.
    pub port: Port,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Whether a name may lead to a private, loopback or link-local address.
    pub allow_private: bool,
    /// PEM certificates that the service's own must chain to; the system's roots when absent.
    pub ca_bundle: Option<String>,
}

/// An `AccessGrant`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Namespace and name.
    pub key: ObjectKey,
    /// This life of the object.
    pub uid: Uid,
    /// SHA-256 over the canonical JSON (RFC 8785) of the defaulted spec.
    pub spec_hash: Sha256Digest,
    /// The identity that is granted to, in the grant's own namespace.
    pub identity: ObjectKey,
    /// The evidence demanded; the identity's default when absent.
    pub requires: Option<EvidenceLevel>,
    /// What is opened.
    pub resource: Resource,
    /// The credential the broker puts into requests.
    pub credential: Option<ObjectKey>,
    /// When it ends.
    pub lifetime: Lifetime,
    /// When it begins, if not at once.
    pub not_before: Option<Timestamp>,
    /// When it was first ready: kept by the caller with uid and spec hash. Of this and what a
    /// [`crate::compile::Compiler`] remembers, the earlier moment counts.
    pub activated_at: Option<Timestamp>,
    /// Taken back; never undone.
    pub revoked: bool,
}

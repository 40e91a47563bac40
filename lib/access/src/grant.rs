//! One time-bound permission, checked.

use std::num::NonZeroU64;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    condition::Condition,
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    host::Host,
    http::HttpRule,
    lifetime::Lifetime,
    mcp::McpRule,
    object::{ObjectKey, Uid},
    port::Port,
};

/// How the agent speaks to the host, which decides who carries the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP over TLS to a name, carried and decided request by request by the broker.
    Https,
    /// The Model Context Protocol over HTTPS to a name, carried and decided message by message by the broker.
    Mcp,
    /// HTTP in the clear to a name, carried and decided request by request by the broker.
    Http,
    /// TCP: to a name carried by the broker, which does not read it; to an address or a network by the
    /// kernel alone.
    Tcp,
    /// UDP to an address or a network, carried by the kernel alone.
    Udp,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 5] = [Self::Https, Self::Mcp, Self::Http, Self::Tcp, Self::Udp];

    /// As manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "HTTPS",
            Self::Mcp => "MCP",
            Self::Http => "HTTP",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// The one that manifests write so.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.as_str() == name)
    }
}

/// What the broker does with TLS on its way to a service.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Tls {
    /// It ends there, and begins anew: each request is seen.
    #[default]
    Terminate,
    /// It is carried as it is. The broker sees the name in the client's first message, and nothing else.
    Passthrough,
}

/// What a grant opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// A name for [`Protocol::Https`] and [`Protocol::Http`], an address or a network for
    /// [`Protocol::Udp`], any of them for [`Protocol::Tcp`].
    pub host: Host,
    /// The one port.
    pub port: Port,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// What becomes of TLS, with [`Protocol::Https`].
    pub tls: Tls,
    /// Which requests are allowed; every one when there are no rules.
    pub http: Vec<HttpRule>,
    /// Which messages are allowed, with [`Protocol::Mcp`].
    pub mcp: McpRule,
    /// What else has to be true of each request.
    pub conditions: Vec<Condition>,
    /// Whether a name may lead to a private, loopback or link-local address.
    pub allow_private: bool,
    /// PEM certificates that the service's own must chain to; the system's roots when absent.
    pub ca_bundle: Option<String>,
}

impl Resource {
    /// The port of `http://` URLs for a service at the port of HTTPS: a client that writes such a URL is
    /// led to the service over TLS all the same.
    pub fn plain_port(&self) -> Option<Port> {
        const HTTP: i64 = 80;
        const HTTPS: u16 = 443;
        let is_usual = matches!(self.protocol, Protocol::Https | Protocol::Mcp)
            && self.tls == Tls::Terminate
            && self.port.get() == HTTPS;
        is_usual.then(|| Port::new(HTTP).ok())?
    }
}

/// How much may be carried under a grant, all of it together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limits {
    /// Requests.
    pub uses: Option<NonZeroU64>,
    /// Bytes of bodies, in both directions together.
    pub bytes: Option<NonZeroU64>,
}

impl Limits {
    /// Whether there is none.
    pub const fn is_none(self) -> bool {
        self.uses.is_none() && self.bytes.is_none()
    }
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
    /// How much may be carried under it.
    pub limits: Limits,
    /// When it ends.
    pub lifetime: Lifetime,
    /// When it begins, if not at once.
    pub not_before: Option<Timestamp>,
    /// When it was first ready: kept by the caller with uid and spec hash. Of this and what a
    /// [`crate::compile::Compiler`] remembers, the earlier moment counts.
    pub activated_at: Option<Timestamp>,
    /// Taken back; never undone.
    pub revoked: bool,
    /// Whether somebody asks for it who may not give it, and what was said to that; nothing for a grant that
    /// is given.
    pub asked: Option<Asked>,
}

/// What was said to a grant that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing yet.
    Undecided,
    /// No.
    Rejected,
    /// Whether who asked for it may grant it is not known yet.
    Unreviewed,
    /// Who asked for it is not known, or may not grant it.
    NotAllowed,
}

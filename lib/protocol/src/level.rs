//! Levels and protocols between the wire and the rules.

use lanyard_access::{evidence::EvidenceLevel, grant};

use crate::broker::{Level, Protocol};

impl From<EvidenceLevel> for Level {
    fn from(level: EvidenceLevel) -> Self {
        match level {
            EvidenceLevel::Scope => Self::Scope,
            EvidenceLevel::Lineage => Self::Lineage,
            EvidenceLevel::Image => Self::Image,
        }
    }
}

impl Level {
    /// The level of evidence, or nothing for none.
    pub const fn evidence(self) -> Option<EvidenceLevel> {
        match self {
            Self::None => None,
            Self::Scope => Some(EvidenceLevel::Scope),
            Self::Lineage => Some(EvidenceLevel::Lineage),
            Self::Image => Some(EvidenceLevel::Image),
        }
    }
}

impl From<grant::Protocol> for Protocol {
    fn from(protocol: grant::Protocol) -> Self {
        match protocol {
            grant::Protocol::Https => Self::Https,
            grant::Protocol::Http => Self::Http,
            grant::Protocol::Mcp => Self::Mcp,
            grant::Protocol::Tcp => Self::Tcp,
            grant::Protocol::Udp => Self::Udp,
        }
    }
}

impl Protocol {
    /// The protocol of the rules, or nothing when the sender named none.
    pub const fn granted(self) -> Option<grant::Protocol> {
        match self {
            Self::Unspecified => None,
            Self::Https => Some(grant::Protocol::Https),
            Self::Http => Some(grant::Protocol::Http),
            Self::Mcp => Some(grant::Protocol::Mcp),
            Self::Tcp => Some(grant::Protocol::Tcp),
            Self::Udp => Some(grant::Protocol::Udp),
        }
    }
}

//! The kinds of object, as people type them.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// One kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    AgentIdentity,
    AccessGrant,
    CredentialSource,
}

/// Why a text is not a [`Kind`].
#[derive(Debug, Error)]
#[error("there are AgentIdentity (agid), AccessGrant (agrant) and CredentialSource (credsrc)")]
pub(crate) struct ParseKindError;

impl Kind {
    /// The name, as manifests write it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AgentIdentity => "AgentIdentity",
            Self::AccessGrant => "AccessGrant",
            Self::CredentialSource => "CredentialSource",
        }
    }
}

impl FromStr for Kind {
    type Err = ParseKindError;

    /// By the names that kubectl takes: kind, plural or short name, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "agentidentity" | "agentidentities" | "agid" => Ok(Self::AgentIdentity),
            "accessgrant" | "accessgrants" | "agrant" => Ok(Self::AccessGrant),
            "credentialsource" | "credentialsources" | "credsrc" => Ok(Self::CredentialSource),
            _ => Err(ParseKindError),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_manifests_is_known_by_all_its_names() {
        for kind in lanyard_crds::kind::Kind::ALL {
            let names = kind.definition().spec.names;
            let short = names.short_names.unwrap_or_default();
            for name in short.iter().chain([&names.kind, &names.plural]) {
                let found: Kind = name.parse().unwrap();
                assert_eq!(found.as_str(), kind.as_str());
            }
        }
        assert!("Secret".parse::<Kind>().is_err());
    }
}

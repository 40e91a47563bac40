//! SPIFFE IDs (SPIFFE-ID, sections 2.1 to 2.4).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::object::ObjectKey;

/// Why text is not a SPIFFE ID or a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseSpiffeIdError {
    /// The scheme is missing.
    #[error("`{0}` does not begin with `spiffe://`")]
    Scheme(String),
    /// The trust domain has a character that is not allowed, or none at all.
    #[error(
        "`{0}` is not a trust domain: lower-case letters, digits, `.`, `-` and `_`, at most 255"
    )]
    TrustDomain(String),
    /// A path segment is empty, `.`, `..`, or has a character that is not allowed.
    #[error(
        "`{0}` is not a SPIFFE path: segments of letters, digits, `.`, `-` and `_`, none of them `.`, `..` or empty"
    )]
    Path(String),
    /// Over 2,048 bytes.
    #[error("a SPIFFE ID is longer than 2048 bytes")]
    TooLong,
}

/// The name of the authority that vouches for identities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = ParseSpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if text.is_empty() || text.len() > 255 || !text.bytes().all(allowed) {
            return Err(ParseSpiffeIdError::TrustDomain(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = ParseSpiffeIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `spiffe://TRUST_DOMAIN/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: String,
}

impl SpiffeId {
    /// The ID of an agent: `/ns/NAMESPACE/agent/NAME`.
    pub fn of_agent(trust_domain: &TrustDomain, agent: &ObjectKey) -> Self {
        let path = format!("/ns/{}/agent/{}", agent.namespace, agent.name);
        Self {
            trust_domain: trust_domain.clone(),
            path,
        }
    }

    /// Who vouches for it.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash, or nothing.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for SpiffeId {
    type Err = ParseSpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 2048 {
            return Err(ParseSpiffeIdError::TooLong);
        }
        let rest = text
            .strip_prefix("spiffe://")
            .ok_or_else(|| ParseSpiffeIdError::Scheme(text.to_owned()))?;
        let (domain, path) = rest
            .find('/')
            .map_or((rest, ""), |slash| rest.split_at(slash));
        let segment_is_good = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !path.is_empty() && !path[1..].split('/').all(segment_is_good) {
            return Err(ParseSpiffeIdError::Path(path.to_owned()));
        }
        Ok(Self {
            trust_domain: domain.parse()?,
            path: path.to_owned(),
        })
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = ParseSpiffeIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "spiffe://{}{}", self.trust_domain, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_outside_the_standard_are_refused() {
        for bad in [
            "",
            "http://a/b",
            "spiffe://",
            "spiffe://A/b",
            "spiffe://a:80/b",
            "spiffe://u@a/b",
            "spiffe://a/",
            "spiffe://a//b",
            "spiffe://a/./b",
            "spiffe://a/../b",
            "spiffe://a/b?c",
            "spiffe://a/b%20",
            "spiffe://a/b/",
            &format!("spiffe://a/{}", "b".repeat(2048)),
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn the_id_of_an_agent_names_its_namespace() {
        let id = SpiffeId::of_agent(&"acme.dev".parse().unwrap(), &"pay/bot".parse().unwrap());
        assert_eq!(id.to_string(), "spiffe://acme.dev/ns/pay/agent/bot");
        assert_eq!(id.to_string().parse::<SpiffeId>().unwrap(), id);
    }
}

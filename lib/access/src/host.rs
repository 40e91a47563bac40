//! Hosts a grant can name: a DNS name, one address, or a network.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    prefix::{ParsePrefixError, Prefix},
    reserved::is_reserved,
};

/// Why text is not a [`Host`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseHostError {
    /// There is no text.
    #[error("a host is empty")]
    Empty,
    /// The name is longer than DNS allows (RFC 1035, 2.3.4).
    #[error("`{0}` is longer than the 253 characters of a DNS name")]
    TooLong(String),
    /// A wildcard.
    #[error("`{0}` has a wildcard; write the exact name, one grant for each host")]
    Wildcard(String),
    /// Something with a scheme, a port, a path or a user.
    #[error("`{0}` is more than a host; write the name alone, for example `api.example.com`")]
    NotOnlyAHost(String),
    /// A label of the name is not allowed (RFC 1123, 2.1).
    #[error(
        "`{0}` is not a DNS name: each part has 1 to 63 letters, digits, `-` or `_`, and neither starts nor ends with `-`"
    )]
    BadLabel(String),
    /// Digits and dots that are no address: a client might read them as one.
    #[error(
        "`{0}` looks like an address and is none; write four numbers from 0 to 255 without leading zeros"
    )]
    AlmostAnAddress(String),
    /// `0.0.0.0` or `::`: the kernel takes it for this very machine, people for every machine.
    #[error("`{0}` names no host; write the one address that is meant")]
    Unspecified(String),
    /// An address with a prefix length that is no network.
    #[error(transparent)]
    Network(ParsePrefixError),
    /// `0.0.0.0/0` or `::/0`. Who means everything has no use for a grant.
    #[error("`{0}` is every address there is; write the networks that are meant")]
    Everything(String),
    /// A network of IPv6 that holds `::ffff:0:0/96`. The kernel knows IPv4 addresses by that form, so that
    /// all of IPv4 would be in it.
    #[error(
        "`{0}` holds every IPv4 address in its IPv6 form (::ffff:0:0/96); write a longer prefix, and IPv4 networks by themselves"
    )]
    HoldsIpv4(String),
}

/// A DNS name in lower case, without the final dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DnsName(String);

impl DnsName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return Err(ParseHostError::Empty);
        }
        if name.contains('*') {
            return Err(ParseHostError::Wildcard(text.to_owned()));
        }
        if name.contains(['/', ':', '@', '?', '#', ' ']) {
            return Err(ParseHostError::NotOnlyAHost(text.to_owned()));
        }
        if name.len() > 253 {
            return Err(ParseHostError::TooLong(text.to_owned()));
        }
        if !name.split('.').all(is_label) {
            return Err(ParseHostError::BadLabel(text.to_owned()));
        }
        // inet_aton reads `0x7f.1` and `2130706433` as addresses: no top label of a real name
        // begins with a digit (RFC 3696, 2).
        if name
            .rsplit('.')
            .next()
            .is_some_and(|top| top.starts_with(|c: char| c.is_ascii_digit()))
        {
            return Err(ParseHostError::AlmostAnAddress(text.to_owned()));
        }
        Ok(Self(name))
    }
}

fn is_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
}

impl TryFrom<String> for DnsName {
    type Error = ParseHostError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DnsName> for String {
    fn from(name: DnsName) -> Self {
        name.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a grant opens: a name, one address, or a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// A DNS name, reached through the broker.
    Name(DnsName),
    /// An address, reached directly. A v4-mapped IPv6 address is kept as IPv4.
    Address(IpAddr),
    /// The addresses of a network, reached directly: all but [reserved](is_reserved) ones. It has more
    /// than one address and not all of them.
    Network(Prefix),
}

impl Host {
    /// Whether a grant for this host opens `asked` too.
    pub fn opens(&self, asked: &Self) -> bool {
        match (self, asked) {
            (Self::Network(network), Self::Address(address)) => {
                network.contains(*address) && !is_reserved(*address)
            }
            (Self::Network(network), Self::Network(part)) => network.covers(part),
            (Self::Name(_) | Self::Address(_) | Self::Network(_), _) => self == asked,
        }
    }

    /// Whether something is both: the same name, or an address of either.
    pub fn meets(&self, other: &Self) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(one), Some(other)) => one.meets(&other),
            (_, _) => self == other,
        }
    }

    /// The addresses that are meant, when it is no name.
    pub fn prefix(&self) -> Option<Prefix> {
        match self {
            Self::Name(_) => None,
            Self::Address(address) => Some(Prefix::from(*address)),
            Self::Network(prefix) => Some(*prefix),
        }
    }
}

impl FromStr for Host {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<IpAddr>() {
            Ok(address) if address.to_canonical().is_unspecified() => {
                Err(ParseHostError::Unspecified(text.to_owned()))
            }
            Ok(address) => Ok(address.into()),
            Err(_) if is_meant_as_network(text) => parse_network(text),
            Err(_) => text.parse().map(Self::Name),
        }
    }
}

/// Whether it is an address, or begins like one, before a slash.
fn is_meant_as_network(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        address.parse::<IpAddr>().is_ok() || (is_number(address) && is_number(length))
    })
}

fn parse_network(text: &str) -> Result<Host, ParseHostError> {
    let prefix: Prefix = text.parse().map_err(ParseHostError::Network)?;
    let address = prefix.address();
    if Prefix::from(address) == prefix {
        return if address.is_unspecified() {
            Err(ParseHostError::Unspecified(text.to_owned()))
        } else {
            Ok(address.into())
        };
    }
    if prefix.length() == 0 {
        return Err(ParseHostError::Everything(text.to_owned()));
    }
    if prefix.contains_mapped() {
        return Err(ParseHostError::HoldsIpv4(text.to_owned()));
    }
    Ok(Host::Network(prefix))
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl TryFrom<String> for Host {
    type Error = ParseHostError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(formatter),
            Self::Address(address) => address.fmt(formatter),
            Self::Network(prefix) => prefix.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests;

//! Hosts a grant can name: a DNS name, or one address.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

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

/// What a grant opens: a name, or one address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// A DNS name, reached through the broker.
    Name(DnsName),
    /// An address, reached directly. A v4-mapped IPv6 address is kept as IPv4.
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<IpAddr>() {
            Ok(address) if address.to_canonical().is_unspecified() => {
                Err(ParseHostError::Unspecified(text.to_owned()))
            }
            Ok(address) => Ok(address.into()),
            Err(_) => text.parse().map(Self::Name),
        }
    }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_more_or_less_than_a_host_is_refused() {
        for bad in [
            "",
            ".",
            "*",
            "*.example.com",
            "a..b",
            "-a.com",
            "a-.com",
            "http://a.com",
            "a.com/x",
            "a.com:443",
            "u@a.com",
            "a com",
            "1.2.3",
            "1.2.3.4.5",
            "0x7f.1",
            "127.0.0.01",
            "256.1.1.1",
            "2130706433",
            "ü.com",
            &format!("{}.com", "a".repeat(64)),
            "1.2.3.4.",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "[::1]",
            "fe80::1%eth0",
            "a.com\0",
            "a。com",
            &"a.".repeat(128),
        ] {
            assert!(bad.parse::<Host>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn the_longest_name_of_dns_is_accepted() {
        // 255 bytes on the wire are 253 characters of text (RFC 1035, 2.3.4).
        let longest = "a.".repeat(127);
        assert_eq!(
            longest.parse::<DnsName>().unwrap().as_str().len(),
            253,
            "the final dot does not count"
        );
    }

    #[test]
    fn names_are_compared_in_lower_case_without_the_final_dot() {
        assert_eq!(
            "API.Example.Com.".parse::<Host>(),
            "api.example.com".parse()
        );
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        assert_eq!("::ffff:10.0.0.1".parse::<Host>(), "10.0.0.1".parse());
    }
}

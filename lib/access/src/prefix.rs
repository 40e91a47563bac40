//! Address prefixes (CIDR).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why text is not a [`Prefix`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParsePrefixError {
    /// No `ADDRESS/LENGTH`.
    #[error("`{0}` is not a prefix; write ADDRESS/LENGTH, for example `10.0.0.0/8`")]
    Form(String),
    /// The length is longer than the address.
    #[error("`{text}` has a prefix length over {limit}")]
    Length {
        /// The text as it was written.
        text: String,
        /// The most this address family has.
        limit: u8,
    },
    /// Bits are set behind the prefix length, so that the writer meant something else.
    #[error("`{text}` has bits behind its length; did you mean `{meant}`?")]
    HostBits {
        /// The text as it was written.
        text: String,
        /// The prefix with those bits cleared.
        meant: String,
    },
}

/// An address and how many of its leading bits count; the others are zero. A prefix of v4-mapped IPv6
/// addresses is kept as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// How many leading bits count.
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` lies in this prefix; a v4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }

    /// Whether this is a prefix of IPv6 with all v4-mapped addresses (`::ffff:0:0/96`) in it.
    pub(crate) fn contains_mapped(&self) -> bool {
        let first_mapped = IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());
        self.address.is_ipv6()
            && self.length <= MAPPED_BITS
            && masked(first_mapped, self.length) == self.address
    }

    /// The prefix of at most `length` bits that holds this one.
    #[must_use]
    pub fn widened(&self, length: u8) -> Self {
        let length = length.min(self.length);
        Self {
            address: masked(self.address, length),
            length,
        }
    }

    /// Whether some address lies in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Whether every address of `other` lies in this prefix.
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            length: bits(address),
        }
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The bits in front of the IPv4 address in a v4-mapped one (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

fn canonical(address: IpAddr, length: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), length.checked_sub(MAPPED_BITS)) {
        (v4 @ IpAddr::V4(_), Some(rest)) if address.is_ipv6() => (v4, rest),
        _ => (address, length),
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ParsePrefixError::Form(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        // One text for each length, so that no two readers of it can differ: no sign, no leading zero.
        let is_plain = length == "0"
            || (!length.starts_with('0') && length.bytes().all(|b| b.is_ascii_digit()));
        let length: u8 = length.parse().ok().filter(|_| is_plain).ok_or_else(form)?;
        let limit = bits(address);
        if length > limit {
            return Err(ParsePrefixError::Length {
                text: text.to_owned(),
                limit,
            });
        }
        let (address, length) = canonical(address, length);
        let first = masked(address, length);
        if first != address {
            let meant = format!("{first}/{length}");
            return Err(ParsePrefixError::HostBits {
                text: text.to_owned(),
                meant,
            });
        }
        Ok(Self { address, length })
    }
}

impl TryFrom<String> for Prefix {
    type Error = ParsePrefixError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn only_well_formed_prefixes_are_accepted() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "a/8",
            "10.0.0.0/-1",
            "10.0.0.0/8/8",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "::ffff:10.0.0.1/104",
            "::ffff:10.0.0.0/90",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad:?} was accepted");
        }
        assert_eq!(prefix("0.0.0.0/0").to_string(), "0.0.0.0/0");
    }

    #[test]
    fn a_prefix_contains_its_addresses_and_no_others() {
        assert!(prefix("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(prefix("10.0.0.0/8").contains("::ffff:10.1.1.1".parse().unwrap()));
        assert!(!prefix("10.0.0.0/8").contains("11.0.0.0".parse().unwrap()));
        assert!(!prefix("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(prefix("fd00::/8").contains("fdff::1".parse().unwrap()));
    }

    #[test]
    fn a_mapped_prefix_is_the_prefix_it_maps() {
        assert_eq!(prefix("::ffff:10.0.0.0/104"), prefix("10.0.0.0/8"));
        assert_eq!(prefix("::ffff:0:0/96"), prefix("0.0.0.0/0"));
    }

    #[test]
    fn a_wider_prefix_holds_the_one_it_came_from() {
        assert_eq!(prefix("10.1.2.0/24").widened(8), prefix("10.0.0.0/8"));
        assert_eq!(prefix("10.1.2.0/24").widened(0), prefix("0.0.0.0/0"));
        assert_eq!(prefix("10.1.2.0/24").widened(30), prefix("10.1.2.0/24"));
        assert_eq!(prefix("fd00:1::/32").widened(8), prefix("fd00::/8"));
    }

    #[test]
    fn prefixes_meet_when_one_covers_the_other() {
        assert!(prefix("10.0.0.0/8").meets(&prefix("10.1.0.0/16")));
        assert!(prefix("10.1.0.0/16").meets(&prefix("10.0.0.0/8")));
        assert!(!prefix("10.1.0.0/16").meets(&prefix("10.2.0.0/16")));
    }

    #[test]
    fn covering_is_containing_every_address() {
        assert!(prefix("10.0.0.0/8").covers(&prefix("10.1.0.0/16")));
        assert!(!prefix("10.1.0.0/16").covers(&prefix("10.0.0.0/8")));
        assert!(!prefix("::/0").covers(&prefix("10.0.0.0/8")));
    }
}

//! Name-bound virtual addresses: what a scope's resolver answers with, and what a connection to it means.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use lanyard_access::host::DnsName;
use lanyard_node_agent_abi::virtual_address::{V4_PREFIX, V6_PREFIX};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// How many names one scope can have.
pub const MOST: usize = 4096;

/// The scope has as many names as it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a scope can have at most {MOST} names")]
pub struct TooManyNames;

/// The addresses of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// Of the IPv4 range.
    pub v4: Ipv4Addr,
    /// Of the IPv6 range.
    pub v6: Ipv6Addr,
}

/// The names of one scope. An address once given to a name is never given to another: a connection that
/// a client opens late, to an address it remembered, cannot lead elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(BTreeMap<DnsName, Addresses>);

impl Names {
    /// The addresses of `name` in `scope`, the same at every call.
    pub fn bind(&mut self, scope: &str, name: &DnsName) -> Result<Addresses, TooManyNames> {
        if let Some(addresses) = self.0.get(name) {
            return Ok(*addresses);
        }
        if self.0.len() >= MOST {
            return Err(TooManyNames);
        }
        // With a sixteenth of the range in use at most, a free address is found at once.
        let addresses = (0..u32::MAX)
            .map(|attempt| candidate(scope, name, attempt))
            .find(|found| self.is_free(*found));
        let addresses = addresses.ok_or(TooManyNames)?;
        self.0.insert(name.clone(), addresses);
        Ok(addresses)
    }

    /// The name an address stands for.
    pub fn name_of(&self, address: [u8; 16]) -> Option<&DnsName> {
        let address = Ipv6Addr::from(address);
        let is = |addresses: &Addresses| {
            addresses.v6 == address || addresses.v4.to_ipv6_mapped() == address
        };
        self.0
            .iter()
            .find(|(_, addresses)| is(addresses))
            .map(|(name, _)| name)
    }

    /// The addresses of `name`, if it has any.
    pub fn get(&self, name: &DnsName) -> Option<Addresses> {
        self.0.get(name).copied()
    }

    fn is_free(&self, candidate: Addresses) -> bool {
        // The first and the last of a range look like a network and a broadcast address.
        let [.., c, d] = candidate.v4.octets();
        let usable = !matches!((c, d), (0, 0) | (255, 255));
        usable
            && self
                .0
                .values()
                .all(|taken| taken.v4 != candidate.v4 && taken.v6 != candidate.v6)
    }
}

fn candidate(scope: &str, name: &DnsName, attempt: u32) -> Addresses {
    let digest = Sha256::new()
        .chain_update(scope)
        .chain_update([0])
        .chain_update(name.as_str())
        .chain_update(attempt.to_be_bytes())
        .finalize();
    let v4 = Ipv4Addr::new(V4_PREFIX[0], V4_PREFIX[1], digest[0], digest[1]);
    let mut v6 = [0; 16];
    v6[..8].copy_from_slice(&V6_PREFIX);
    v6[8..].copy_from_slice(&digest[2..10]);
    Addresses { v4, v6: v6.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lanyard_node_agent_abi::virtual_address::is_virtual;

    use super::*;

    fn name(number: usize) -> DnsName {
        format!("n{number}.example.com").parse().unwrap()
    }

    #[test]
    fn a_name_keeps_its_addresses_and_shares_them_with_none() {
        let mut names = Names::default();
        let first: Vec<Addresses> = (0..MOST)
            .map(|n| names.bind("s", &name(n)).unwrap())
            .collect();
        let again: Vec<Addresses> = (0..MOST)
            .map(|n| names.bind("s", &name(n)).unwrap())
            .collect();
        assert_eq!(first, again);
        assert_eq!(
            first
                .iter()
                .map(|addresses| addresses.v4)
                .collect::<BTreeSet<_>>()
                .len(),
            MOST
        );
        assert_eq!(
            first
                .iter()
                .map(|addresses| addresses.v6)
                .collect::<BTreeSet<_>>()
                .len(),
            MOST
        );
        assert_eq!(names.bind("s", &name(MOST)), Err(TooManyNames));
    }

    #[test]
    fn both_addresses_lead_back_to_the_name() {
        let mut names = Names::default();
        let addresses = names.bind("s", &name(1)).unwrap();
        for address in [
            addresses.v6.octets(),
            addresses.v4.to_ipv6_mapped().octets(),
        ] {
            assert!(is_virtual(&address));
            assert_eq!(names.name_of(address), Some(&name(1)));
        }
        assert_eq!(names.name_of([0; 16]), None);
    }

    #[test]
    fn names_read_back_from_what_is_kept() {
        let mut names = Names::default();
        names.bind("s", &name(1)).unwrap();
        let kept = serde_json::to_string(&names).unwrap();
        assert_eq!(serde_json::from_str::<Names>(&kept).unwrap(), names);
    }
}

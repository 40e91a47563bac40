//! From an agent's live grants to kernel entries, and the difference to what is there. No I/O.

mod slots;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lanyard_access::{
    desired::{DesiredAgent, reach},
    evidence::EvidenceLevel,
    grant::Protocol,
    host::{DnsName, Host},
};
use lanyard_node_agent_abi::{
    grant::{GrantKey, LEVELS, carrier},
    process::level,
};

pub use self::slots::{Adopted, NoSlot, Slots, Step};
use crate::{
    deadline::{Deadlines, Spec},
    kernel::clock::Moment,
    names::Names,
};

/// The bits of an address, with IPv4 as `::ffff:a.b.c.d`.
const ALL_BITS: u8 = 128;

/// What one destination should be: who carries it, and until when at each level of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// See [`carrier`].
    pub carrier: u8,
    /// Nanoseconds of the boot clock, for [`level::SCOPE`] first; 0 where it is not granted.
    pub deadlines: [u64; LEVELS],
}

/// Everything the kernel should let a principal reach.
pub type Openings = BTreeMap<Destination, Opening>;

/// A destination of a principal: an address, or all that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// See [`GrantKey::principal`].
    pub principal: u32,
    /// IPv6, or IPv4 as `::ffff:a.b.c.d`; zeros behind `bits`.
    pub address: [u8; 16],
    /// How many bits of the address count; 128 for one address.
    pub bits: u8,
    /// In host order.
    pub port: u16,
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
}

impl Destination {
    /// Whether it is one address, and not a network.
    pub const fn is_one_address(&self) -> bool {
        self.bits == ALL_BITS
    }

    /// As the kernel reads it.
    pub const fn to_abi(self) -> GrantKey {
        GrantKey {
            principal: self.principal,
            port: self.port.to_be(),
            protocol: self.protocol,
            reserved: 0,
            address: self.address,
        }
    }

    /// From what the kernel holds.
    pub const fn from_abi(key: &GrantKey, bits: u8) -> Self {
        Self {
            principal: key.principal,
            address: key.address,
            bits,
            port: u16::from_be(key.port),
            protocol: key.protocol,
        }
    }

    /// The one of fewer bits that it lies in.
    fn widened(self, bits: u8) -> Self {
        let kept = u128::MAX
            .checked_shl(u32::from(ALL_BITS - bits))
            .unwrap_or(0);
        Self {
            address: (u128::from_be_bytes(self.address) & kept).to_be_bytes(),
            bits,
            ..self
        }
    }
}

/// What `agent` may reach as `principal` of the scope whose names are `names`.
///
/// Grants that overlap on a destination meet in one opening: at each level of evidence the latest of their
/// deadlines, each of them bounded by `deadlines`. The kernel looks at the longest prefix alone, so that a
/// destination also has what the networks around it have.
///
/// Names for which the scope has no address left are told, and nothing opens for them.
pub fn openings(
    agent: &DesiredAgent,
    principal: u32,
    scope: &str,
    names: &mut Names,
    deadlines: &mut Deadlines,
    now: Moment,
) -> (Openings, BTreeSet<DnsName>) {
    let bounded = agent.grants.iter().map(|grant| {
        let spec: Spec = (grant.uid.clone(), grant.spec_hash);
        (grant, deadlines.bound(&spec, now.boot_of(grant.ends_at)))
    });
    let mut openings = Openings::new();
    let mut refused = BTreeSet::new();
    for (destination, ends) in reach(bounded) {
        let (addresses, carrier) = match &destination.host {
            Host::Name(name) => {
                let Ok(bound) = names.bind(scope, name) else {
                    refused.insert(name.clone());
                    continue;
                };
                let addresses = vec![(IpAddr::V4(bound.v4), 32), (IpAddr::V6(bound.v6), 128)];
                (addresses, carrier::BROKER)
            }
            Host::Address(address) => (vec![(*address, bits_of(*address))], carrier::DIRECT),
            Host::Network(network) => {
                (vec![(network.address(), network.length())], carrier::DIRECT)
            }
        };
        let deadlines = EvidenceLevel::ALL.map(|level| ends.get(&level).copied().unwrap_or(0));
        for (address, length) in addresses {
            let key = Destination {
                principal,
                address: mapped(address),
                bits: length + (ALL_BITS - bits_of(address)),
                port: destination.port.get(),
                protocol: number_of(destination.protocol),
            };
            // HTTPS, HTTP and TCP to one name are one destination to the kernel.
            let opening = openings.entry(key).or_insert(Opening {
                carrier,
                deadlines: [0; LEVELS],
            });
            for (known, deadline) in opening.deadlines.iter_mut().zip(deadlines) {
                *known = deadline.max(*known);
            }
        }
    }
    (openings, refused)
}

const fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => ALL_BITS,
    }
}

/// A protocol as the kernel numbers it.
pub const fn number_of(protocol: Protocol) -> u8 {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    match protocol {
        Protocol::Https | Protocol::Mcp | Protocol::Http | Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    }
}

/// A level as the kernel numbers it.
pub const fn number(known: EvidenceLevel) -> u8 {
    match known {
        EvidenceLevel::Scope => level::SCOPE,
        EvidenceLevel::Lineage => level::LINEAGE,
        EvidenceLevel::Image => level::IMAGE,
    }
}

/// An address as the maps keep it.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests;

//! From an agent's live grants to kernel entries, and the difference to what is there. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lanyard_access::{desired::DesiredAgent, evidence::EvidenceLevel, grant::Protocol, host::Host};
use lanyard_node_agent_abi::{
    grant::{Grant, GrantKey, SLOTS, carrier},
    process::level,
};

use crate::{
    deadline::{Deadlines, Spec},
    kernel::clock::Moment,
    names::{Names, TooManyNames},
};

const TCP: u8 = 6;

/// What one destination should be: who carries it, and until when on the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// See [`carrier`].
    pub carrier: u8,
    /// Nanoseconds of the boot clock.
    pub deadline: u64,
}

/// Everything the kernel should let a principal reach.
pub type Openings = BTreeMap<Key, Opening>;

/// [`GrantKey`] in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// See [`GrantKey::principal`].
    pub principal: u32,
    /// IPv6, or IPv4 as `::ffff:a.b.c.d`.
    pub address: [u8; 16],
    /// In host order.
    pub port: u16,
    /// See [`level`].
    pub level: u8,
}

impl Key {
    /// As the kernel reads it.
    pub const fn to_abi(self) -> GrantKey {
        GrantKey {
            principal: self.principal,
            port: self.port.to_be(),
            protocol: TCP,
            level: self.level,
            address: self.address,
        }
    }

    /// From what the kernel holds.
    pub const fn from_abi(key: &GrantKey) -> Self {
        Self {
            principal: key.principal,
            address: key.address,
            port: u16::from_be(key.port),
            level: key.level,
        }
    }
}

/// What `agent` may reach as `principal` of the scope whose names are `names`.
///
/// Grants that overlap on a destination meet in one opening for each level of evidence: the latest of
/// their deadlines, each of them bounded by `deadlines`.
pub fn openings(
    agent: &DesiredAgent,
    principal: u32,
    scope: &str,
    names: &mut Names,
    deadlines: &mut Deadlines,
    now: Moment,
) -> Result<Openings, TooManyNames> {
    let mut openings = Openings::new();
    for grant in &agent.grants {
        let spec: Spec = (grant.uid.clone(), grant.spec_hash);
        let deadline = deadlines.bound(&spec, now.boot_of(grant.ends_at));
        let (addresses, carrier) = match &grant.resource.host {
            Host::Name(name) => {
                let bound = names.bind(scope, name)?;
                (
                    vec![IpAddr::V4(bound.v4), IpAddr::V6(bound.v6)],
                    carrier::BROKER,
                )
            }
            Host::Address(address) => (vec![*address], direct(grant.resource.protocol)),
        };
        for address in addresses {
            for known in EvidenceLevel::ALL
                .into_iter()
                .filter(|known| *known >= grant.requires)
            {
                let key = Key {
                    principal,
                    address: mapped(address),
                    port: grant.resource.port.get(),
                    level: number(known),
                };
                let opening = openings.entry(key).or_insert(Opening { carrier, deadline });
                opening.deadline = deadline.max(opening.deadline);
            }
        }
    }
    Ok(openings)
}

const fn direct(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => carrier::DIRECT,
        Protocol::Https => carrier::BROKER,
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

/// Which destination has which slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    used: BTreeMap<Key, (u32, Opening)>,
    /// The same the other way round.
    keys: BTreeMap<u32, Key>,
    free: Vec<u32>,
    next: u32,
}

/// One step towards what should be, in the order in which steps are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A slot is taken into use anew, with a new generation.
    Begin(u32, u64),
    /// The deadline of a slot in use changes.
    Move(u32, u64),
    /// A slot ends at once, and what is open under it with it.
    End(u32),
    /// A destination leads to a slot.
    Open(GrantKey, Grant),
    /// A destination leads nowhere any more.
    Close(GrantKey),
}

/// Every slot is in use: what does not fit is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("every slot for destinations is in use")]
pub struct NoSlot;

impl Slots {
    /// What an earlier run left in the kernel.
    pub fn adopt(grants: impl IntoIterator<Item = (GrantKey, Grant, u64)>) -> Self {
        let used: BTreeMap<Key, (u32, Opening)> = grants
            .into_iter()
            .map(|(key, grant, deadline)| {
                let carrier = u8::try_from(grant.carrier).unwrap_or(carrier::NONE);
                (
                    Key::from_abi(&key),
                    (grant.slot, Opening { carrier, deadline }),
                )
            })
            .collect();
        let keys: BTreeMap<u32, Key> = used.iter().map(|(key, (slot, _))| (*slot, *key)).collect();
        let next = keys.last_key_value().map_or(0, |(slot, _)| *slot);
        let free = (1..next).filter(|slot| !keys.contains_key(slot)).collect();
        Self {
            used,
            keys,
            free,
            next,
        }
    }

    /// The steps from what `principal` has to `wanted`. Endings come first.
    pub fn steps(&mut self, principal: u32, wanted: &Openings) -> (Vec<Step>, Result<(), NoSlot>) {
        let mut steps = Vec::new();
        let gone: Vec<Key> = self
            .of(principal)
            .filter(|(key, had)| {
                wanted
                    .get(key)
                    .is_none_or(|now| now.carrier != had.1.carrier)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            if let Some((slot, _)) = self.used.remove(&key) {
                steps.extend([Step::End(slot), Step::Close(key.to_abi())]);
                self.keys.remove(&slot);
                self.free.push(slot);
            }
        }
        let mut fits = Ok(());
        for (key, opening) in wanted {
            match self.used.get_mut(key) {
                Some((_, had)) if had == opening => {}
                Some((slot, had)) => {
                    *had = *opening;
                    steps.push(Step::Move(*slot, opening.deadline));
                }
                None => match self.take() {
                    Some(slot) => {
                        self.used.insert(*key, (slot, *opening));
                        self.keys.insert(slot, *key);
                        let grant = Grant {
                            slot,
                            carrier: u32::from(opening.carrier),
                        };
                        steps.extend([
                            Step::Begin(slot, opening.deadline),
                            Step::Open(key.to_abi(), grant),
                        ]);
                    }
                    None => fits = Err(NoSlot),
                },
            }
        }
        (steps, fits)
    }

    /// The slots whose deadline is past.
    pub fn past(&self, now: u64) -> Vec<u32> {
        self.used
            .values()
            .filter(|(_, opening)| opening.deadline <= now)
            .map(|(slot, _)| *slot)
            .collect()
    }

    /// The nearest deadline ahead of `now`.
    pub fn next_deadline(&self, now: u64) -> Option<u64> {
        self.used
            .values()
            .map(|(_, opening)| opening.deadline)
            .filter(|deadline| *deadline > now)
            .min()
    }

    /// Whoever has any destination.
    pub fn principals(&self) -> BTreeSet<u32> {
        self.used.keys().map(|key| key.principal).collect()
    }

    /// The slot of a destination, if it has one.
    pub fn slot_of(&self, key: &Key) -> Option<u32> {
        self.used.get(key).map(|(slot, _)| *slot)
    }

    /// The deadline of a slot that stands for a destination.
    pub fn deadline_of(&self, number: u32) -> Option<u64> {
        let key = self.keys.get(&number)?;
        self.used.get(key).map(|(_, opening)| opening.deadline)
    }

    fn of(&self, principal: u32) -> impl Iterator<Item = (&Key, &(u32, Opening))> {
        self.used
            .iter()
            .filter(move |(key, _)| key.principal == principal)
    }

    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            (self.next + 1 < SLOTS).then(|| {
                self.next += 1;
                self.next
            })
        })
    }
}

#[cfg(test)]
mod tests;

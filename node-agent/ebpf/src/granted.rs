//! What is granted to a principal at a level of evidence, and whether it still is.

use aya_ebpf::maps::lpm_trie::Key;
use lanyard_node_agent_abi::{
    cause::Cause,
    grant::{Grant, GrantKey, KEY_BITS, Slot},
    process::level,
    virtual_address::is_virtual,
};

use crate::{
    listener::{is_link_local, is_loopback},
    maps::{GRANT, LEASE, NETWORK, SLOT},
    refusal::now,
};

/// A destination that is open now.
pub(crate) struct Granted {
    pub(crate) slot: u32,
    pub(crate) generation: u64,
    pub(crate) carrier: u8,
}

/// Why a destination is not open at some level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// Nothing grants it at all.
    Nothing,
    /// It is open to processes that are better known.
    NotAtThisLevel,
    /// It was open.
    Ended,
    /// The node may not open anything any more.
    Lease,
}

impl Miss {
    #[inline(always)]
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::Nothing => Cause::NoGrant,
            Self::NotAtThisLevel => Cause::EvidenceTooLow,
            Self::Ended => Cause::GrantEnded,
            Self::Lease => Cause::LeaseEnded,
        }
    }
}

/// What `key` is granted at `at_level`.
///
/// A grant for a network never reaches this machine itself, what clouds keep at link-local addresses, or a
/// virtual address: those are reached by a grant that names them.
#[inline(always)]
pub(crate) fn granted(key: &GrantKey, at_level: u8) -> Result<Granted, Miss> {
    // SAFETY: copied at once; an entry is only ever replaced as a whole.
    if let Some(grant) = unsafe { GRANT.get(key) }.copied() {
        return open(&grant, at_level);
    }
    if is_loopback(&key.address) || is_link_local(&key.address) || is_virtual(&key.address) {
        return Err(Miss::Nothing);
    }
    let prefix = Key::new(KEY_BITS + 128, *key);
    match NETWORK.get(&prefix).copied() {
        Some(grant) => open(&grant, at_level),
        None => Err(Miss::Nothing),
    }
}

#[inline(always)]
fn open(grant: &Grant, at_level: u8) -> Result<Granted, Miss> {
    let [scope, lineage, image] = grant.slots;
    let own = match at_level {
        level::SCOPE => scope,
        level::LINEAGE => lineage,
        level::IMAGE => image,
        _ => 0,
    };
    let now = now();
    if let Some(slot) = slot(own)
        && slot.deadline > now
    {
        if lease() <= now {
            return Err(Miss::Lease);
        }
        return Ok(Granted {
            slot: own,
            generation: slot.generation,
            carrier: grant.carrier as u8,
        });
    }
    let is_open = |number: u32| slot(number).is_some_and(|slot| slot.deadline > now);
    let above = (at_level < level::LINEAGE && is_open(lineage))
        || (at_level < level::IMAGE && is_open(image));
    if above {
        Err(Miss::NotAtThisLevel)
    } else if own != 0 {
        Err(Miss::Ended)
    } else {
        Err(Miss::Nothing)
    }
}

/// Whether what was tagged with this slot and generation is still open.
#[inline(always)]
pub(crate) fn is_live(number: u32, generation: u64) -> Result<(), Cause> {
    let now = now();
    match slot(number) {
        Some(slot) if slot.generation == generation && slot.deadline > now => {
            if lease() > now {
                Ok(())
            } else {
                Err(Cause::LeaseEnded)
            }
        }
        Some(_) => Err(Cause::GrantEnded),
        None => Err(Cause::Untagged),
    }
}

/// Until when anything is granted: nothing while nobody has said so.
#[inline(always)]
fn lease() -> u64 {
    LEASE.get(0).copied().unwrap_or(0)
}

#[inline(always)]
fn slot(number: u32) -> Option<Slot> {
    if number == 0 {
        return None;
    }
    SLOT.get(number).copied()
}

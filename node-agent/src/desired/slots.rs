//! Which destination has which slots, and the steps from what is to what should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv6Addr,
};

use lanyard_access::reserved::is_reserved;
use lanyard_node_agent_abi::grant::{Grant, LEVELS, SLOTS};

use super::{Destination, Opening, Openings};

/// The most slots that one principal may use: what it takes beyond would be missing for others.
const QUOTA: usize = 65_536;

/// Which destination has which slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    used: BTreeMap<Destination, Used>,
    /// The same the other way round, with the place among the levels.
    keys: BTreeMap<u32, (Destination, usize)>,
    /// How many each principal uses.
    counts: BTreeMap<u32, usize>,
    free: Vec<u32>,
    next: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Used {
    slots: [u32; LEVELS],
    opening: Opening,
}

impl Used {
    const fn grant(&self) -> Grant {
        Grant {
            slots: self.slots,
            carrier: self.opening.carrier as u32,
        }
    }
}

/// What an earlier run left in the kernel: a destination, its entry, and the deadlines of its slots.
pub type Adopted = (Destination, Grant, [u64; LEVELS]);

/// One step towards what should be, in the order in which steps are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A slot is taken into use anew, with a new generation.
    Begin(u32, u64),
    /// The deadline of a slot in use changes.
    Move(u32, u64),
    /// A slot ends at once, and what is open under it with it.
    End(u32),
    /// A destination leads to these slots.
    Open(Destination, Grant),
    /// A destination leads nowhere any more.
    Close(Destination),
}

/// Every slot is in use: what does not fit is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("every slot for destinations is in use, on the node or by this scope alone")]
pub struct NoSlot;

impl Slots {
    /// With only the slots behind `next` left.
    #[cfg(test)]
    pub(super) fn full(next: u32) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// What an earlier run left in the kernel.
    pub fn adopt(grants: impl IntoIterator<Item = Adopted>) -> Self {
        let mut this = Self::default();
        for (key, grant, deadlines) in grants {
            for (place, slot) in grant.slots.into_iter().enumerate() {
                if slot != 0 {
                    this.keys.insert(slot, (key, place));
                    *this.counts.entry(key.principal).or_default() += 1;
                }
            }
            let opening = Opening {
                carrier: u8::try_from(grant.carrier).unwrap_or(0),
                deadlines,
            };
            let slots = grant.slots;
            this.used.insert(key, Used { slots, opening });
        }
        this.next = this.keys.last_key_value().map_or(0, |(slot, _)| *slot);
        this.free = (1..this.next)
            .filter(|slot| !this.keys.contains_key(slot))
            .collect();
        this
    }

    /// The steps from what `principal` has to `wanted`. Endings come first, and no entry leads to a slot
    /// that was given up.
    pub fn steps(&mut self, principal: u32, wanted: &Openings) -> (Vec<Step>, Result<(), NoSlot>) {
        let mut steps = Vec::new();
        for (key, had) in self.of(principal) {
            match wanted.get(&key) {
                Some(now) if now.carrier == had.opening.carrier => {
                    self.end_levels(&key, had, now, &mut steps);
                }
                Some(_) | None => self.close(&key, had, &mut steps),
            }
        }
        let mut fits = Ok(());
        for (key, opening) in wanted {
            if let Err(error) = self.open(key, opening, &mut steps) {
                fits = Err(error);
            }
        }
        (steps, fits)
    }

    fn close(&mut self, key: &Destination, had: Used, steps: &mut Vec<Step>) {
        self.used.remove(key);
        let slots = had.slots.into_iter().filter(|slot| *slot != 0);
        let slots: Vec<u32> = slots.collect();
        steps.extend(slots.iter().map(|slot| Step::End(*slot)));
        steps.push(Step::Close(*key));
        for slot in slots {
            self.give_back(slot);
        }
    }

    fn end_levels(&mut self, key: &Destination, had: Used, now: &Opening, steps: &mut Vec<Step>) {
        let mut kept = had;
        for place in 0..LEVELS {
            if now.deadlines[place] == 0 && had.slots[place] != 0 {
                kept.slots[place] = 0;
                kept.opening.deadlines[place] = 0;
            }
        }
        if kept == had {
            return;
        }
        let ended = had.slots.into_iter().zip(kept.slots);
        let ended: Vec<u32> = ended
            .filter(|(had, kept)| had != kept)
            .map(|(had, _)| had)
            .collect();
        steps.extend(ended.iter().map(|slot| Step::End(*slot)));
        steps.push(Step::Open(*key, kept.grant()));
        self.used.insert(*key, kept);
        for slot in ended {
            self.give_back(slot);
        }
    }

    fn open(
        &mut self,
        key: &Destination,
        wanted: &Opening,
        steps: &mut Vec<Step>,
    ) -> Result<(), NoSlot> {
        let nothing = Used {
            slots: [0; LEVELS],
            opening: Opening {
                carrier: wanted.carrier,
                deadlines: [0; LEVELS],
            },
        };
        let had = self.used.get(key).copied().unwrap_or(nothing);
        let mut has = had;
        let mut fits = Ok(());
        for (place, deadline) in wanted.deadlines.into_iter().enumerate() {
            if deadline == had.opening.deadlines[place] {
                continue;
            }
            if had.slots[place] != 0 {
                has.opening.deadlines[place] = deadline;
                steps.push(Step::Move(had.slots[place], deadline));
                continue;
            }
            let Some(slot) = self.take(key.principal) else {
                fits = Err(NoSlot);
                continue;
            };
            self.keys.insert(slot, (*key, place));
            has.slots[place] = slot;
            has.opening.deadlines[place] = deadline;
            steps.push(Step::Begin(slot, deadline));
        }
        if has.slots != had.slots {
            steps.push(Step::Open(*key, has.grant()));
        }
        if has.slots != [0; LEVELS] {
            self.used.insert(*key, has);
        }
        fits
    }

    /// The slots whose deadline is past.
    pub fn past(&self, now: u64) -> Vec<u32> {
        self.deadlines()
            .filter(|(_, deadline)| *deadline <= now)
            .map(|(slot, _)| slot)
            .collect()
    }

    /// The nearest deadline ahead of `now`.
    pub fn next_deadline(&self, now: u64) -> Option<u64> {
        self.deadlines()
            .map(|(_, deadline)| deadline)
            .filter(|deadline| *deadline > now)
            .min()
    }

    /// Whoever has any destination.
    pub fn principals(&self) -> BTreeSet<u32> {
        self.used.keys().map(|key| key.principal).collect()
    }

    /// The slot of one address at a level of the kernel, through the network that it lies in if need be:
    /// the one that the kernel finds.
    pub fn slot_of(&self, address: &Destination, level: u8) -> Option<u32> {
        let place = usize::from(level).checked_sub(1)?;
        let of = |key: &Destination| self.used.get(key)?.slots.get(place).copied();
        // A network never reaches these.
        let reserved = is_reserved(Ipv6Addr::from(address.address).into());
        let widths = if reserved { 0..0 } else { 0..address.bits };
        let wider = widths.rev().map(|bits| address.widened(bits));
        let key = std::iter::once(*address)
            .chain(wider)
            .find(|key| self.used.contains_key(key))?;
        of(&key).filter(|slot| *slot != 0)
    }

    /// The deadline of a slot that stands for a destination.
    pub fn deadline_of(&self, number: u32) -> Option<u64> {
        let (key, place) = self.keys.get(&number)?;
        self.used
            .get(key)
            .map(|used| used.opening.deadlines[*place])
    }

    fn deadlines(&self) -> impl Iterator<Item = (u32, u64)> {
        let slots = |used: &Used| used.slots.into_iter().zip(used.opening.deadlines);
        self.used
            .values()
            .flat_map(slots)
            .filter(|(slot, _)| *slot != 0)
    }

    fn of(&self, principal: u32) -> Vec<(Destination, Used)> {
        let first = Destination {
            principal,
            address: [0; 16],
            bits: 0,
            port: 0,
            protocol: 0,
        };
        self.used
            .range(first..)
            .take_while(|(key, _)| key.principal == principal)
            .map(|(key, used)| (*key, *used))
            .collect()
    }

    fn take(&mut self, principal: u32) -> Option<u32> {
        let count = self.counts.entry(principal).or_default();
        if *count >= QUOTA {
            return None;
        }
        let slot = self.free.pop().or_else(|| {
            (self.next + 1 < SLOTS).then(|| {
                self.next += 1;
                self.next
            })
        })?;
        *count += 1;
        Some(slot)
    }

    fn give_back(&mut self, slot: u32) {
        if let Some((key, _)) = self.keys.remove(&slot)
            && let Some(count) = self.counts.get_mut(&key.principal)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key.principal);
            }
        }
        self.free.push(slot);
    }
}

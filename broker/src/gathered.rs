//! Bytes that must be there as a whole before they go on, within one budget for all of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use thiserror::Error;

use crate::limits;

/// The least that is taken at a time.
const LEAST: usize = 4 << 10;

/// How much more may be gathered.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// There is no room for more. Whoever is told so gives up what it holds: nobody waits for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("as much as may be gathered at a time is gathered")]
pub(crate) struct NoRoom;

/// What was gathered. Its room is taken as it grows, and given back with the last of its bytes.
#[derive(Debug)]
pub(crate) struct Gathered {
    bytes: Vec<u8>,
    budget: Budget,
    taken: usize,
}

impl Budget {
    /// For so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> Result<(), NoRoom> {
        let less = |left: usize| left.checked_sub(bytes);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map(drop).map_err(|_| NoRoom)
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Default for Budget {
    /// For one scope.
    fn default() -> Self {
        Self::new(limits::GATHERED)
    }
}

impl Gathered {
    /// Nothing yet.
    pub(crate) const fn new(budget: Budget) -> Self {
        Self {
            bytes: Vec::new(),
            budget,
            taken: 0,
        }
    }

    /// Takes more.
    pub(crate) fn extend(&mut self, data: &[u8]) -> Result<(), NoRoom> {
        let needed = self.bytes.len() + data.len();
        let room = self.bytes.capacity();
        if needed > room {
            let room = needed.max(2 * room).max(LEAST);
            self.take_for(room)?;
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// Takes what is already there as a whole.
    pub(crate) fn adopt(&mut self, bytes: Vec<u8>) -> Result<(), NoRoom> {
        self.take_for(bytes.capacity())?;
        self.bytes = bytes;
        Ok(())
    }

    /// Takes the bytes before `end` out. The rest keeps no more room than it needs.
    pub(crate) fn take_first(&mut self, end: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(end);
        let first = std::mem::replace(&mut self.bytes, rest);
        let room = self.bytes.capacity();
        // It is shorter than what room was taken for.
        self.budget.give_back(self.taken.saturating_sub(room));
        self.taken = self.taken.min(room);
        first
    }

    /// The room for so many bytes in place of what is taken; that is the same, if there is none.
    fn take_for(&mut self, room: usize) -> Result<(), NoRoom> {
        match room.checked_sub(self.taken) {
            Some(more) => self.budget.take(more)?,
            None => self.budget.give_back(self.taken - room),
        }
        self.taken = room;
        Ok(())
    }

    /// The same as bytes that can be shared.
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Gathered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(budget: &Budget) -> usize {
        budget.0.load(Ordering::Relaxed)
    }

    #[test]
    fn room_is_taken_as_bytes_come_and_whoever_has_none_keeps_nobody_waiting() {
        let budget = Budget::new(16 << 10);
        let (mut one, mut other) = (Gathered::new(budget.clone()), Gathered::new(budget.clone()));
        assert_eq!(left(&budget), 16 << 10, "nothing is taken before it comes");
        one.extend(&[1; 100]).unwrap();
        assert_eq!(left(&budget), 12 << 10);
        other.extend(&[2; 8 << 10]).unwrap();
        assert_eq!(left(&budget), 4 << 10);
        assert_eq!(one.extend(&[1; 8 << 10]), Err(NoRoom));
        assert_eq!(left(&budget), 4 << 10, "what was refused takes nothing");
        assert_eq!(one.as_ref(), [1; 100]);
        drop(other);
        one.extend(&[1; 8 << 10]).unwrap();
        assert_eq!(one.as_ref().len(), 100 + (8 << 10));
        drop(one);
        assert_eq!(left(&budget), 16 << 10);
    }

    #[test]
    fn room_is_given_back_with_the_last_of_the_bytes() {
        let budget = Budget::new(8 << 10);
        let mut gathered = Gathered::new(budget.clone());
        gathered.extend(&[7; 5000]).unwrap();
        let mut bytes = gathered.into_bytes();
        let first = bytes.split_to(10);
        drop(bytes);
        assert_eq!(left(&budget), (8 << 10) - 5000);
        assert_eq!(first, [7; 10][..]);
        drop(first);
        assert_eq!(left(&budget), 8 << 10);
    }

    #[test]
    fn what_is_left_behind_takes_no_more_room_than_it_needs() {
        let budget = Budget::new(64 << 10);
        let mut gathered = Gathered::new(budget.clone());
        gathered.extend(&vec![3; 40 << 10]).unwrap();
        assert_eq!(gathered.take_first(40 << 10).len(), 40 << 10);
        assert_eq!(left(&budget), 64 << 10);
        gathered.extend(&[4; 10]).unwrap();
        gathered.adopt(vec![5; 60 << 10]).unwrap();
        assert_eq!(left(&budget), 4 << 10);
        assert_eq!(gathered.adopt(vec![6; 65 << 10]), Err(NoRoom));
        drop(gathered);
        assert_eq!(left(&budget), 64 << 10);
    }
}

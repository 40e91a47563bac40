//! Keeps what an agent can repeat at will from filling the record and the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

/// How often the same thing is said.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// How many different things are said within that time.
const MOST: usize = 256;

/// Remembers what was said, and when.
#[derive(Debug, Default)]
pub(crate) struct Frequency {
    said: Mutex<BTreeMap<String, Timestamp>>,
}

impl Frequency {
    /// Whether this may be said at `now`; if so, it counts as said.
    pub(crate) fn is_due(&self, what: &str, now: Timestamp) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(what).is_some_and(|at| !is_old(*at, now)) {
            return false;
        }
        if said.len() >= MOST {
            said.retain(|_, at| !is_old(*at, now));
        }
        if said.len() >= MOST {
            return false;
        }
        said.insert(what.to_owned(), now);
        true
    }
}

fn is_old(at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(at) >= AGAIN_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_same_is_said_once_a_minute() {
        let frequency = Frequency::default();
        assert!(frequency.is_due("a", at(0)));
        assert!(!frequency.is_due("a", at(59)));
        assert!(frequency.is_due("b", at(59)));
        assert!(frequency.is_due("a", at(60)));
    }

    #[test]
    fn many_different_things_are_bounded_too() {
        let frequency = Frequency::default();
        let said = (0..10_000).filter(|n| frequency.is_due(&n.to_string(), at(0)));
        assert_eq!(said.count(), MOST);
        assert!(frequency.is_due("new", at(60)));
    }
}

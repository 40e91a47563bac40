//! Whose status is written next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lanyard_access::object::ObjectKey;
use lanyard_crds::kind::Kind;

/// The shortest time between two writes of one object whose reason stays.
pub const PAUSE: Duration = Duration::from_secs(5);
/// How many writes a second there are at most, all objects together.
pub const PER_SECOND: u32 = 50;

/// Why an object has to be written; what comes first is written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Access was taken back.
    Revoke,
    /// Access begins: nodes wait for it.
    Activate,
    /// Access ended by itself, or another reason changed.
    End,
    /// Only counts and messages.
    Counters,
}

/// An object whose status is written.
pub type Subject = (Kind, ObjectKey);

/// What waits, and what was written when.
#[derive(Debug, Default)]
pub struct Writes {
    waiting: BTreeMap<Subject, (Urgency, Instant)>,
    order: BTreeSet<(Urgency, Instant, Subject)>,
    written: BTreeMap<Subject, Instant>,
    tokens: u32,
    refilled: Option<Instant>,
}

impl Writes {
    /// Notes that an object has to be written. What waits already keeps its place, or moves forward.
    pub fn add(&mut self, subject: Subject, urgency: Urgency, now: Instant) {
        if let Some((known, since)) = self.waiting.get(&subject).copied() {
            if known <= urgency {
                return;
            }
            self.order.remove(&(known, since, subject.clone()));
        }
        self.waiting.insert(subject.clone(), (urgency, now));
        self.order.insert((urgency, now, subject));
    }

    /// The next one, and how urgent it is; it waits no longer.
    pub fn next(&mut self, now: Instant) -> Option<(Subject, Urgency)> {
        self.refill(now);
        if self.tokens == 0 {
            return None;
        }
        let due = self.order.iter().find(|(urgency, _, subject)| {
            *urgency < Urgency::Counters || self.ready_at(subject).is_none_or(|at| at <= now)
        });
        let (urgency, since, subject) = due.cloned()?;
        self.order.remove(&(urgency, since, subject.clone()));
        self.waiting.remove(&subject);
        self.tokens -= 1;
        self.written
            .retain(|_, at| now.saturating_duration_since(*at) < PAUSE);
        self.written.insert(subject.clone(), now);
        Some((subject, urgency))
    }

    /// A token that was not needed: nothing had changed.
    pub fn give_back(&mut self, subject: &Subject) {
        self.tokens = (self.tokens + 1).min(PER_SECOND);
        self.written.remove(subject);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn ready_at(&self, subject: &Subject) -> Option<Instant> {
        self.written.get(subject).map(|at| *at + PAUSE)
    }

    fn refill(&mut self, now: Instant) {
        let Some(refilled) = self.refilled else {
            self.refilled = Some(now);
            self.tokens = PER_SECOND;
            return;
        };
        let each = Duration::from_secs(1) / PER_SECOND;
        let passed = now.saturating_duration_since(refilled).as_nanos() / each.as_nanos();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(passed).min(PER_SECOND);
        self.refilled = Some(refilled + each.saturating_mul(passed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> Subject {
        (Kind::AccessGrant, name.parse().unwrap())
    }

    fn names(writes: &mut Writes, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| writes.next(now))
            .map(|((_, key), _)| key.name.to_string())
            .collect()
    }

    #[test]
    fn what_takes_access_away_comes_first_and_counters_last() {
        let now = Instant::now();
        let mut writes = Writes::default();
        writes.add(subject("counter"), Urgency::Counters, now);
        writes.add(subject("end"), Urgency::End, now);
        writes.add(subject("begin"), Urgency::Activate, now);
        writes.add(subject("revoke"), Urgency::Counters, now);
        writes.add(subject("revoke"), Urgency::Revoke, now);
        writes.add(subject("begin"), Urgency::Counters, now);
        assert_eq!(
            names(&mut writes, now),
            ["revoke", "begin", "end", "counter"]
        );
        assert!(writes.is_empty());
    }

    #[test]
    fn an_object_is_written_once_in_a_while_except_for_a_reason() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut writes = Writes::default();
        writes.add(subject("a"), Urgency::Activate, at(0));
        assert_eq!(names(&mut writes, at(0)), ["a"]);
        writes.add(subject("a"), Urgency::Counters, at(10));
        assert!(names(&mut writes, at(4_990)).is_empty());
        writes.add(subject("a"), Urgency::Revoke, at(4_991));
        assert_eq!(names(&mut writes, at(4_991)), ["a"]);
        writes.add(subject("a"), Urgency::Counters, at(4_992));
        assert!(names(&mut writes, at(9_000)).is_empty());
        assert_eq!(names(&mut writes, at(9_991)), ["a"]);
    }

    #[test]
    fn no_more_are_written_in_a_second_than_the_api_server_bears() {
        let start = Instant::now();
        let mut writes = Writes::default();
        for number in 0..200 {
            writes.add(subject(&format!("a{number}")), Urgency::End, start);
        }
        writes.add(subject("revoke"), Urgency::Revoke, start);
        let first = names(&mut writes, start);
        assert_eq!(first.len(), 50);
        assert_eq!(first[0], "revoke");
        assert!(names(&mut writes, start).is_empty());
        assert_eq!(
            names(&mut writes, start + Duration::from_millis(100)).len(),
            5
        );
        assert_eq!(names(&mut writes, start + Duration::from_mins(1)).len(), 50);
    }

    #[test]
    fn what_had_not_changed_costs_nothing() {
        let now = Instant::now();
        let mut writes = Writes::default();
        for _ in 0..200 {
            writes.add(subject("a"), Urgency::End, now);
            let (subject, _) = writes.next(now).unwrap();
            writes.give_back(&subject);
        }
    }
}

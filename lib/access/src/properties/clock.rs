//! Whatever a clock does, no end moves later and nothing that ended comes back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::{collection, prelude::*};

use super::world::{Step, any_grant_key, any_written, take_all};
use crate::{
    compile::{Compiler, Written},
    object::ObjectKey,
    reason::GrantReason,
    sample::at,
};

/// What happens between two looks at the clock. Nothing here is a new decision of a person.
#[derive(Debug, Clone)]
enum Event {
    /// A grant is written again as it stands.
    WriteAgain(ObjectKey),
    /// Everything is read again as it was at first.
    ReadAgain,
    /// The process ends and begins again, with the history it kept.
    Restart,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any_grant_key().prop_map(Event::WriteAgain),
        Just(Event::ReadAgain),
        Just(Event::Restart),
    ]
}

/// A world in which one person at most decided on each grant: a second yes is a reason of its own for
/// a grant to end later, and no matter of clocks.
fn any_world() -> impl Strategy<Value = Written> {
    any_written().prop_map(|mut written| {
        let mut decided = BTreeSet::new();
        written
            .approvals
            .retain(|_, approval| decided.insert(approval.grant.clone()));
        written
    })
}

#[derive(Debug, Default)]
struct Seen {
    began: Option<Timestamp>,
    end: Option<Timestamp>,
    has_ended: bool,
}

/// Looks at every grant and compares it with what was seen before.
fn look(compiler: &Compiler, seen: &mut BTreeMap<ObjectKey, Seen>) -> Result<(), TestCaseError> {
    for (key, standing) in &compiler.desired().grants {
        let seen = seen.entry(key.clone()).or_default();
        let is_active = standing.reason == GrantReason::Active;
        if let (Some(before), Some(now)) = (seen.began, standing.activated_at) {
            prop_assert!(now <= before, "{key} began later");
        }
        if let (Some(before), Some(now), true) = (seen.end, standing.ends_at, is_active) {
            prop_assert!(now <= before, "{key} ends later: {now} instead of {before}");
        }
        prop_assert!(!(is_active && seen.has_ended), "{key} came back");
        seen.began = standing.activated_at.or(seen.began);
        if is_active {
            seen.end = standing.ends_at;
        }
        seen.has_ended |= standing.reason == GrantReason::Expired;
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_clock_moves_an_end_later_or_brings_back_what_ended(
        world in any_world(),
        rounds in collection::vec((any_event(), -30..90_i64), 2..12),
    ) {
        let mut compiler = Compiler::default();
        compiler.replace(world.clone());
        let mut seen = BTreeMap::new();
        for (event, now) in rounds {
            match event {
                Event::WriteAgain(key) => take_all(&mut compiler, [Step::WriteAgain(key, None)]),
                Event::ReadAgain => compiler.replace(world.clone()),
                Event::Restart => {
                    compiler = Compiler::with_history(compiler.history().clone());
                    compiler.replace(world.clone());
                }
            }
            compiler.compile(at(now));
            look(&compiler, &mut seen)?;
        }
    }
}

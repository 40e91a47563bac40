//! Neither the order of things nor how many are compiled at a time makes a difference.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, prelude::*};

use super::world::{HOUR, Step, answers, any_step, any_written, everyone, take_all};
use crate::{
    compile::{Change, Compiler, Delta, Written, compile},
    desired::{Desired, DesiredAgent},
    object::ObjectKey,
    sample::at,
};

/// Everything that is written, as if one after the other.
fn changes_of(written: Written) -> Vec<Change> {
    let Written {
        identities,
        grants,
        credentials,
        policies,
        approvals,
    } = written;
    let identities = identities.into_iter();
    let identities = identities.map(|(key, value)| Change::Identity(key, Some(value)));
    let grants = grants.into_iter();
    let grants = grants.map(|(key, value)| Change::Grant(key, Some(value)));
    let credentials = credentials.into_iter();
    let credentials = credentials.map(|(key, value)| Change::Credential(key, Some(value)));
    let policies = policies.into_iter();
    let policies = policies.map(|(key, value)| Change::Policy(key, Some(value)));
    let approvals = approvals.into_iter();
    let approvals = approvals.map(|(key, value)| Change::Approval(key, Some(value)));
    identities
        .chain(grants)
        .chain(credentials)
        .chain(policies)
        .chain(approvals)
        .collect()
}

fn different<V: PartialEq>(
    old: &BTreeMap<ObjectKey, V>,
    new: &BTreeMap<ObjectKey, V>,
) -> BTreeSet<ObjectKey> {
    let keys = old.keys().chain(new.keys());
    let different = keys.filter(|key| old.get(*key) != new.get(*key));
    different.cloned().collect()
}

/// What a truthful delta between the two says.
fn delta_of(old: &Desired, new: &Desired) -> Delta {
    Delta {
        agents: different(&old.agents, &new.agents),
        grants: different(&old.grants, &new.grants),
    }
}

/// Things that somebody does between compilations.
fn any_rounds() -> impl Strategy<Value = Vec<(Vec<Step>, i64)>> {
    collection::vec((collection::vec(any_step(), 0..8), HOUR), 1..8)
}

proptest! {
    #[test]
    fn the_order_in_which_objects_arrive_does_not_matter(
        (written, changes) in any_written().prop_flat_map(|written| {
            let changes = Just(changes_of(written.clone())).prop_shuffle();
            (Just(written), changes)
        }),
        now in HOUR,
    ) {
        let mut compiler = Compiler::default();
        for change in changes {
            compiler.apply(change);
        }
        compiler.compile(at(now));
        prop_assert_eq!(compiler.desired(), &compile(written, at(now)));
    }

    #[test]
    fn the_order_of_grants_does_not_decide(written in any_written(), now in HOUR, later in HOUR) {
        for agent in compile(written, at(now)).agents.into_values() {
            let grants = agent.grants.iter().rev().cloned().collect();
            let backwards = DesiredAgent { grants, ..agent.clone() };
            prop_assert_eq!(answers(&agent, at(later)), answers(&backwards, at(later)));
            prop_assert_eq!(agent.slots(), backwards.slots());
        }
    }

    #[test]
    fn compiling_changes_is_compiling_everything(mut rounds in any_rounds()) {
        rounds.sort_by_key(|(_, now)| *now);
        let mut compiler = everyone();
        for (steps, now) in rounds {
            take_all(&mut compiler, steps);
            let before = compiler.desired().clone();
            let delta = compiler.compile(at(now));
            let whole = compile(compiler.written().clone(), at(now));
            prop_assert_eq!(compiler.desired(), &whole);
            prop_assert_eq!(delta, delta_of(&before, &whole));
            let moments = whole.grants.values().filter_map(|standing| standing.changes_at);
            prop_assert_eq!(compiler.next_change(), moments.min());
        }
    }

    #[test]
    fn compiling_changes_is_compiling_everything_with_its_history_by_any_clock(rounds in any_rounds()) {
        let mut compiler = everyone();
        for (steps, now) in rounds {
            take_all(&mut compiler, steps);
            let before = compiler.desired().clone();
            let mut whole = Compiler::with_history(compiler.history().clone());
            whole.replace(compiler.written().clone());
            whole.compile(at(now));
            let delta = compiler.compile(at(now));
            prop_assert_eq!(compiler.desired(), whole.desired());
            prop_assert_eq!(delta, delta_of(&before, whole.desired()));
        }
    }

    #[test]
    fn replacing_is_writing_one_by_one(
        first in any_written(),
        second in any_written(),
        now in HOUR,
        later in HOUR,
    ) {
        let mut replaced = Compiler::default();
        replaced.replace(first.clone());
        replaced.compile(at(now));
        let mut changed = Compiler::default();
        changed.replace(first.clone());
        changed.compile(at(now));
        replaced.replace(second.clone());
        for key in first.identities.into_keys() {
            changed.apply(Change::Identity(key, None));
        }
        for key in first.grants.into_keys() {
            changed.apply(Change::Grant(key, None));
        }
        for key in first.credentials.into_keys() {
            changed.apply(Change::Credential(key, None));
        }
        for name in first.policies.into_keys() {
            changed.apply(Change::Policy(name, None));
        }
        for key in first.approvals.into_keys() {
            changed.apply(Change::Approval(key, None));
        }
        for change in changes_of(second) {
            changed.apply(change);
        }
        replaced.compile(at(later));
        changed.compile(at(later));
        prop_assert_eq!(replaced.desired(), changed.desired());
        prop_assert_eq!(replaced.written(), changed.written());
    }
}

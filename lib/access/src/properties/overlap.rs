//! Of grants that overlap, taking one away leaves exactly the others.

use proptest::{collection, prelude::*};

use super::world::{HOUR, answers, any_grant, any_written};
use crate::{
    compile::{Change, Compiler, Written, compile},
    grant::Grant,
    object::ObjectKey,
    sample::{self, at, identity, key},
};

/// Two to four grants of one agent for one destination, at all levels and of all lengths.
fn any_overlap() -> impl Strategy<Value = Written> {
    collection::vec(any_grant(), 2..=4).prop_map(|grants| {
        let written = Written::default().with_identity(identity("a/x"));
        let written = written.with_credential(sample::credential("a/c"));
        grants
            .into_iter()
            .enumerate()
            .fold(written, |written, (number, grant)| {
                written.with_grant(Grant {
                    key: key(&format!("a/g{number}")),
                    identity: key("a/x"),
                    resource: sample::grant("a/g", "a/x").resource,
                    ..grant
                })
            })
    })
}

fn pick(written: &Written, number: usize) -> Option<ObjectKey> {
    written.grants.keys().cycle().nth(number).cloned()
}

/// Whether revoking a grant leaves what would be there without it.
fn check_revoking(written: &Written, key: &ObjectKey, now: i64) -> Result<(), TestCaseError> {
    let mut without = written.clone();
    without.grants.remove(key);
    let without = compile(without, at(now));
    let mut compiler = Compiler::default();
    compiler.replace(written.clone());
    compiler.compile(at(now));
    let revoked = Grant {
        revoked: true,
        ..written.grants[key].clone()
    };
    compiler.apply(Change::Grant(key.clone(), Some(revoked)));
    compiler.compile(at(now));
    prop_assert_eq!(&compiler.desired().agents, &without.agents);
    for (name, agent) in &without.agents {
        let left = &compiler.desired().agents[name];
        prop_assert_eq!(left.slots(), agent.slots());
        for minute in HOUR {
            prop_assert_eq!(answers(left, at(minute)), answers(agent, at(minute)));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn revoking_one_of_overlapping_grants_leaves_exactly_the_others(
        written in any_overlap(),
        number in 0..4_usize,
        now in HOUR,
    ) {
        if let Some(key) = pick(&written, number) {
            check_revoking(&written, &key, now)?;
        }
    }

    #[test]
    fn revoking_any_grant_leaves_what_would_be_there_without_it(
        written in any_written(),
        number in 0..4_usize,
        now in HOUR,
    ) {
        if let Some(key) = pick(&written, number) {
            check_revoking(&written, &key, now)?;
        }
    }

    #[test]
    fn a_slot_is_open_exactly_as_long_as_some_grant_of_its_level(
        written in any_overlap(),
        now in HOUR,
    ) {
        for agent in compile(written, at(now)).agents.values() {
            for (destination, ends) in agent.slots() {
                for (level, end) in ends {
                    let usable = agent.grants.iter().filter(|grant| {
                        grant.requires <= level && grant.resource.host == destination.host
                    });
                    prop_assert_eq!(Some(end), usable.map(|grant| grant.ends_at).max());
                }
            }
        }
    }
}

mod reasons;

use super::*;
use crate::sample::{approval, approvals_needed, at, at_most, grant, identity, minutes, policy};

fn stand(grant: &Grant, written: &Written, minute: i64) -> GrantStanding {
    standing_of(grant, written, written.approvals.values(), at(minute))
}

fn bot() -> Written {
    Written::default().with_identity(identity("team/bot"))
}

fn open() -> Grant {
    grant("team/g", "team/bot")
}

#[test]
fn the_end_is_the_earliest_of_all_that_set_one() {
    let duration = |minute| Lifetime::For(minutes(minute));
    let yes = approval(&open(), "ann", at(-10));
    let approved = |valid| {
        bot()
            .with_policy(policy("approve", approvals_needed(1, valid)))
            .with_approval(yes.clone())
    };
    for (lifetime, written, end) in [
        (duration(10), bot(), 10),
        (Lifetime::Until(at(7)), bot(), 7),
        (duration(10), bot().with_policy(policy("p", at_most(4))), 4),
        (
            duration(10),
            bot().with_policy(policy("p", at_most(20))),
            10,
        ),
        (
            Lifetime::Until(at(7)),
            bot().with_policy(policy("p", at_most(4))),
            4,
        ),
        (duration(10), approved(15), 5),
        (
            duration(10),
            approved(15).with_policy(policy("p", at_most(3))),
            3,
        ),
        (duration(10), approved(60), 10),
    ] {
        let grant = Grant { lifetime, ..open() };
        let standing = stand(&grant, &written, 0);
        assert_eq!(standing.reason, GrantReason::Active);
        assert_eq!(standing.ends_at, Some(at(end)), "{lifetime:?}");
        assert_eq!(standing.changes_at, Some(at(end)), "{lifetime:?}");
    }
}

#[test]
fn approvals_count_until_too_few_people_are_left() {
    let yes = |who, minute| approval(&open(), who, at(minute));
    let written = bot()
        .with_policy(policy("p", approvals_needed(2, 10)))
        .with_approval(yes("ann", -4))
        .with_approval(yes("ann", -1))
        .with_approval(yes("bob", -3))
        .with_approval(yes("cleo", -9));
    assert_eq!(stand(&open(), &written, 0).ends_at, Some(at(7)));
}

#[test]
fn a_grant_changes_when_it_begins_and_when_an_approval_begins_to_count() {
    let from = Grant {
        not_before: Some(at(3)),
        ..open()
    };
    assert_eq!(stand(&from, &bot(), 0).changes_at, Some(at(3)));
    let written = bot().with_policy(policy("p", approvals_needed(1, 60)));
    assert_eq!(stand(&open(), &written, 0).changes_at, None);
    let written = written.with_approval(approval(&open(), "ann", at(4)));
    assert_eq!(stand(&open(), &written, 0).changes_at, Some(at(4)));
    assert_eq!(stand(&open(), &written, 4).reason, GrantReason::Active);
}

#[test]
fn a_grant_that_seems_to_begin_in_the_future_begins_now() {
    // The clock stood a year ahead when it was first ready.
    let grant = Grant {
        activated_at: Some(at(365 * 24 * 60)),
        ..open()
    };
    let standing = stand(&grant, &bot(), 0);
    assert_eq!(standing.activated_at, Some(at(0)));
    assert_eq!(standing.ends_at, Some(at(10)));
}

#[test]
fn nothing_begins_at_the_end_of_time() {
    let standing = standing_of(&open(), &bot(), std::iter::empty(), Timestamp::MAX);
    assert_ne!(standing.reason, GrantReason::Active);
    assert_eq!(standing.activated_at, None);
}

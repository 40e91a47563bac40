//! Time passes, jumps ahead and is set back.

use super::{super::*, *};
use crate::{
    approval::Verdict,
    lifetime::Lifetime,
    sample::{approval, approvals_needed, policy},
};

fn approve(compiler: &mut Compiler, who: &str, minute: i64) {
    let approval = approval(&open(), who, at(minute));
    compiler.apply(Change::Approval(approval.key.clone(), Some(approval)));
}

/// As [`fed`], where one approval is needed and counts five minutes.
fn fed_with_rule() -> Compiler {
    let mut compiler = fed();
    let policy = policy("p", approvals_needed(1, 5));
    compiler.apply(Change::Policy(policy.name.clone(), Some(policy)));
    compiler
}

#[test]
fn a_clock_set_back_moves_no_end() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    assert_eq!(active_until(&mut compiler, 8), Some(10));
    assert_eq!(active_until(&mut compiler, 2), Some(10));
}

#[test]
fn what_a_wrong_clock_ended_stays_ended() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    assert_eq!(reason(&mut compiler, 60), GrantReason::Expired);
    assert_eq!(reason(&mut compiler, 1), GrantReason::Expired);
    write(&mut compiler, open());
    assert_eq!(
        reason(&mut compiler, 2),
        GrantReason::Expired,
        "written again"
    );
    let changed = Grant {
        spec_hash: crate::sample::spec(2),
        ..open()
    };
    write(&mut compiler, changed);
    assert_eq!(
        active_until(&mut compiler, 2),
        Some(10),
        "another spec, as old"
    );
}

#[test]
fn a_last_moment_that_a_wrong_clock_passed_stays_passed() {
    let mut compiler = fed();
    let until = Grant {
        lifetime: Lifetime::Until(at(10)),
        ..open()
    };
    write(&mut compiler, until);
    assert_eq!(
        reason(&mut compiler, 60),
        GrantReason::Expired,
        "never active"
    );
    assert_eq!(reason(&mut compiler, 1), GrantReason::Expired);
}

#[test]
fn a_grant_that_a_wrong_clock_began_in_the_future_ends_by_the_right_one() {
    let year = 365 * 24 * 60;
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, year), Some(year + 10));
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    let kept = compiler.desired().grants[&key("team/g")].activated_at;
    assert_eq!(kept, Some(at(0)), "the caller keeps the earlier moment");
    assert_eq!(reason(&mut compiler, 10), GrantReason::Expired);
}

#[test]
fn a_grant_not_valid_yet_by_a_clock_set_back_gives_nothing() {
    let mut compiler = fed();
    let from = Grant {
        not_before: Some(at(5)),
        ..open()
    };
    write(&mut compiler, from);
    assert_eq!(active_until(&mut compiler, 6), Some(16));
    assert_eq!(reason(&mut compiler, 4), GrantReason::NotYetValid);
    // The clock that said six was wrong, so the grant is as old as the one that said four.
    assert_eq!(active_until(&mut compiler, 5), Some(14));
}

#[test]
fn an_approval_that_returns_does_not_start_the_duration_again() {
    let mut compiler = fed_with_rule();
    assert_eq!(reason(&mut compiler, 0), GrantReason::ApprovalPending);
    approve(&mut compiler, "ann", 1);
    assert_eq!(active_until(&mut compiler, 1), Some(6));
    assert_eq!(compiler.next_change(), Some(at(6)));
    assert_eq!(reason(&mut compiler, 6), GrantReason::ApprovalPending);
    approve(&mut compiler, "ann", 8);
    assert_eq!(
        active_until(&mut compiler, 8),
        Some(11),
        "ten minutes from the first"
    );
    assert_eq!(reason(&mut compiler, 11), GrantReason::Expired);
    approve(&mut compiler, "ann", 12);
    assert_eq!(
        reason(&mut compiler, 12),
        GrantReason::Expired,
        "no approval prolongs it"
    );
}

#[test]
fn an_approval_that_a_wrong_clock_ended_stays_ended() {
    let mut compiler = fed_with_rule();
    approve(&mut compiler, "ann", 0);
    assert_eq!(active_until(&mut compiler, 0), Some(5));
    assert_eq!(reason(&mut compiler, 7), GrantReason::ApprovalPending);
    assert_eq!(reason(&mut compiler, 1), GrantReason::ApprovalPending);
    approve(&mut compiler, "ann", 2);
    assert_eq!(
        active_until(&mut compiler, 2),
        Some(7),
        "another yes counts"
    );
}

#[test]
fn an_approval_begins_to_count_at_its_time_without_another_change() {
    let mut compiler = fed_with_rule();
    approve(&mut compiler, "ann", 3);
    assert_eq!(reason(&mut compiler, 0), GrantReason::ApprovalPending);
    assert_eq!(compiler.next_change(), Some(at(3)));
    assert_eq!(active_until(&mut compiler, 3), Some(8));
}

#[test]
fn a_no_counts_when_the_clock_is_set_back() {
    let mut compiler = fed_with_rule();
    approve(&mut compiler, "ann", 1);
    let mut no = approval(&open(), "bob", at(2));
    no.verdict = Verdict::Reject;
    compiler.apply(Change::Approval(no.key.clone(), Some(no)));
    assert_eq!(reason(&mut compiler, 3), GrantReason::ApprovalRejected);
    assert_eq!(reason(&mut compiler, 1), GrantReason::ApprovalRejected);
}

#[test]
fn the_next_change_is_the_first_of_all_and_passes() {
    let mut compiler = fed();
    assert_eq!(compiler.next_change(), None, "nothing is compiled");
    let other = Grant {
        not_before: Some(at(4)),
        ..grant("team/h", "team/bot")
    };
    write(&mut compiler, other);
    for (now, next) in [(0, Some(4)), (4, Some(10)), (10, Some(14)), (14, None)] {
        compiler.compile(at(now));
        assert_eq!(compiler.next_change(), next.map(at), "at {now}");
    }
}

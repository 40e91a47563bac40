//! No grant outlives what bounds it: a check by other means than the compiler's own.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use proptest::{collection, prelude::*};

use super::world::{HOUR, any_step, everyone, take_all};
use crate::{
    approval::Verdict,
    compile::Written,
    desired::LiveGrant,
    grant::Grant,
    lifetime::{GrantDuration, Lifetime},
    policy::{ApprovalRule, Effect},
    sample::at,
};

fn signed(duration: GrantDuration) -> SignedDuration {
    SignedDuration::try_from(duration.get()).unwrap()
}

/// Whether enough people's approvals count at `moment` of those given until `now`.
fn is_met(
    rule: &ApprovalRule,
    grant: &Grant,
    written: &Written,
    now: Timestamp,
    moment: Timestamp,
) -> bool {
    let about = written.approvals.values().filter(|approval| {
        approval.grant == grant.key
            && approval.grant_uid == grant.uid
            && approval.spec_hash == grant.spec_hash
    });
    let counting = about.filter(|approval| {
        approval.verdict == Verdict::Approve
            && approval.decided_at <= now
            && approval.decided_at + signed(rule.valid_for) > moment
    });
    let people: BTreeSet<&str> = counting.map(|a| a.approver.as_str()).collect();
    people.len() >= usize::try_from(rule.count).unwrap()
}

/// What the grant outlives, if anything.
fn outlived(live: &LiveGrant, written: &Written, now: Timestamp) -> Option<&'static str> {
    let grant = &written.grants[&live.key];
    let began = grant.activated_at.unwrap();
    let last_moment = live.ends_at - SignedDuration::from_nanos(1);
    match grant.lifetime {
        Lifetime::Until(end) if live.ends_at > end => return Some("notAfter"),
        Lifetime::For(long) if live.ends_at > began + signed(long) => return Some("duration"),
        Lifetime::Until(_) | Lifetime::For(_) => (),
    }
    if live.ends_at <= now || began > now || grant.not_before.is_some_and(|from| from > now) {
        return Some("now");
    }
    for policy in written.policies.values().filter(|p| p.applies_to(grant)) {
        let Effect::Limit(limits) = &policy.effect else {
            return Some("a policy that denies");
        };
        let longest = limits.max_duration;
        if longest.is_some_and(|longest| live.ends_at > began + signed(longest)) {
            return Some("a policy's limit");
        }
        let rule = limits.approval.as_ref();
        if rule.is_some_and(|rule| !is_met(rule, grant, written, now, last_moment)) {
            return Some("an approval");
        }
    }
    None
}

proptest! {
    #[test]
    fn no_grant_outlives_its_end_its_limits_or_its_approvals(
        rounds in collection::vec((collection::vec(any_step(), 1..8), HOUR), 1..6),
    ) {
        let mut compiler = everyone();
        for (steps, now) in rounds {
            take_all(&mut compiler, steps);
            compiler.compile(at(now));
            let agents = compiler.desired().agents.values();
            for live in agents.flat_map(|agent| &agent.grants) {
                prop_assert_eq!(outlived(live, compiler.written(), at(now)), None, "{:?}", live);
            }
        }
    }
}

//! What people's decisions amount to for one grant.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;

use super::standing::limits;
use crate::{
    approval::{Approval, Verdict},
    grant::Grant,
    lifetime::Lifetime,
    policy::{ApprovalRule, Policy},
};

/// Whether `approval` is about this life and this spec of `grant`. It names a grant of its own namespace:
/// who may decide in another one has no say here.
pub(super) fn is_about(approval: &Approval, grant: &Grant) -> bool {
    approval.grant == grant.key
        && approval.key.namespace == grant.key.namespace
        && approval.grant_uid == grant.uid
        && approval.spec_hash == grant.spec_hash
}

/// Whether anybody said no. A no counts whatever the clocks say: one that seems to come from the
/// future was given all the same.
pub(super) fn is_rejected(approvals: &[&Approval]) -> bool {
    approvals
        .iter()
        .any(|approval| approval.verdict == Verdict::Reject)
}

/// Until when every rule of `policies` is met by what was decided up to `now`; for ever when there is
/// no rule, and `None` when a rule is not met at all.
pub(super) fn approved_until(
    policies: &[&Policy],
    approvals: &[&Approval],
    now: Timestamp,
) -> Option<Timestamp> {
    limits(policies)
        .filter_map(|limits| limits.approval.as_ref())
        .map(|rule| rule_met_until(rule, approvals, now))
        .min()
        .unwrap_or(Some(Timestamp::MAX))
}

/// The moment at which fewer than `count` people's approvals still count.
fn rule_met_until(
    rule: &ApprovalRule,
    approvals: &[&Approval],
    now: Timestamp,
) -> Option<Timestamp> {
    let mut latest_by_person: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for approval in approvals {
        if approval.verdict == Verdict::Reject || approval.decided_at > now {
            continue;
        }
        let end = Lifetime::For(rule.valid_for).end(approval.decided_at);
        let latest = latest_by_person.entry(&approval.approver).or_insert(end);
        *latest = end.max(*latest);
    }
    let mut ends: Vec<Timestamp> = latest_by_person.into_values().collect();
    ends.sort_unstable_by_key(|end| Reverse(*end));
    match usize::try_from(rule.count) {
        Ok(0) => Some(Timestamp::MAX),
        Ok(count) => ends.get(count - 1).copied(),
        Err(_) => None,
    }
}

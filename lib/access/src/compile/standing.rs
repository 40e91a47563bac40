//! Where one grant stands at one moment: a list of checks that reads as the specification.

use jiff::Timestamp;

use super::{Written, approval, history::Past};
use crate::{
    approval::Approval,
    desired::GrantStanding,
    grant::{Asked, Grant},
    host::Host,
    identity::Identity,
    lifetime::Lifetime,
    policy::{Effect, Limits, Policy},
    reason::GrantReason,
};

/// Where `grant` stands at `now`, given everything else that is written.
///
/// Of `approvals` those that are about another grant, uid or spec do not count. The end only ever
/// comes nearer by what is found here: it is the earliest of the grant's own, each policy's limit and
/// each approval it needs.
pub fn standing_of<'a>(
    grant: &Grant,
    written: &Written,
    approvals: impl Iterator<Item = &'a Approval>,
    now: Timestamp,
) -> GrantStanding {
    standing_after(Past::default(), grant, written, approvals, now).0
}

/// As [`standing_of`], for a grant that has a past; and the past that it has from now on.
pub(super) fn standing_after<'a>(
    past: Past,
    grant: &Grant,
    written: &Written,
    approvals: impl Iterator<Item = &'a Approval>,
    now: Timestamp,
) -> (GrantStanding, Past) {
    let policies: Vec<&Policy> = written
        .policies
        .values()
        .filter(|policy| policy.applies_to(grant))
        .collect();
    let approvals: Vec<&Approval> = approvals
        .filter(|approval| approval::is_about(approval, grant))
        .collect();
    // An end that a clock has passed stays passed when that clock is set back.
    let clock = past.ended_at.map_or(now, |ended_at| ended_at.max(now));
    let refusal = refusal_by_text(grant, written)
        .or_else(|| grant.asked.map(refusal_of_asked))
        .or_else(|| refusal_by_policy(&policies, &approvals))
        .or_else(|| refusal_by_time(grant, now, clock))
        .or_else(|| past.used_up.then_some(GrantReason::UsedUp));
    let approved_until = approval::approved_until(&policies, &approvals, now);
    let is_approved = approved_until.is_some_and(|end| end > clock);
    // A grant that was ready once keeps that moment. One that lies ahead was read from a clock that
    // was wrong: the grant is as old as can be known.
    let first_ready = earliest(past.activated_at, grant.activated_at).map(|at| at.min(now));
    let activated_at = first_ready.or_else(|| (refusal.is_none() && is_approved).then_some(now));
    let own_end = own_end(grant, activated_at, &policies);
    let reason = match refusal {
        Some(reason) => reason,
        None if own_end.is_some_and(|end| end <= clock) => GrantReason::Expired,
        None if is_approved => GrantReason::Active,
        None => GrantReason::ApprovalPending,
    };
    let ends_at = activated_at.and(earliest(own_end, approved_until));
    let passed = [own_end, ends_at].into_iter().flatten();
    let ended_at = passed.filter(|end| *end <= clock).max().max(past.ended_at);
    let standing = GrantStanding {
        uid: grant.uid.clone(),
        spec_hash: grant.spec_hash,
        identity: grant.identity.clone(),
        reason,
        activated_at,
        ends_at,
        changes_at: next_change(grant, &approvals, [own_end, ends_at], now),
    };
    let past = Past {
        activated_at,
        ended_at,
        used_up: past.used_up,
    };
    (standing, past)
}

/// The earlier of two moments that may be unknown.
pub(super) fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// When the grant ends whoever approves it: by its own lifetime and by each policy's limit.
fn own_end(
    grant: &Grant,
    activated_at: Option<Timestamp>,
    policies: &[&Policy],
) -> Option<Timestamp> {
    let Some(activated_at) = activated_at else {
        return match grant.lifetime {
            Lifetime::For(_) => None,
            Lifetime::Until(end) => Some(end),
        };
    };
    limits(policies)
        .filter_map(|limits| limits.max_duration)
        .map(|longest| Lifetime::For(longest).end(activated_at))
        .chain([grant.lifetime.end(activated_at)])
        .min()
}

/// When time alone may change the standing: the beginning, an end, or an approval not yet in force.
fn next_change(
    grant: &Grant,
    approvals: &[&Approval],
    ends: [Option<Timestamp>; 2],
    now: Timestamp,
) -> Option<Timestamp> {
    let approvals = approvals.iter().map(|approval| approval.decided_at);
    ends.into_iter()
        .flatten()
        .chain(grant.not_before)
        .chain(approvals)
        .filter(|at| *at > now)
        .min()
}

/// What the written objects alone rule out.
fn refusal_by_text(grant: &Grant, written: &Written) -> Option<GrantReason> {
    if grant.revoked {
        return Some(GrantReason::Revoked);
    }
    if grant.identity.namespace != grant.key.namespace {
        return Some(GrantReason::IdentityNotFound);
    }
    let Some(identity) = written.identities.get(&grant.identity) else {
        return Some(GrantReason::IdentityNotFound);
    };
    if grant
        .requires
        .is_some_and(|level| level > identity.highest_level())
    {
        return Some(GrantReason::EvidenceUnreachable);
    }
    refusal_by_credential(grant, identity, written)
}

fn refusal_by_credential(
    grant: &Grant,
    identity: &Identity,
    written: &Written,
) -> Option<GrantReason> {
    let key = grant.credential.as_ref()?;
    let Some(credential) = written.credentials.get(key) else {
        return Some(GrantReason::CredentialNotFound);
    };
    if !credential.consumers.allow(&key.namespace, &identity.key) {
        return Some(GrantReason::CredentialNotConsented);
    }
    let host_is_allowed = match &grant.resource.host {
        Host::Name(name) => credential.allowed_hosts.contains(name),
        Host::Address(_) | Host::Network(_) => false,
    };
    (!host_is_allowed).then_some(GrantReason::CredentialHostNotAllowed)
}

/// Asking for a grant gives nothing, whatever else is approved.
const fn refusal_of_asked(asked: Asked) -> GrantReason {
    match asked {
        Asked::Undecided => GrantReason::ApprovalPending,
        Asked::Rejected => GrantReason::ApprovalRejected,
        Asked::Unreviewed => GrantReason::ReviewPending,
        Asked::NotAllowed => GrantReason::RequesterNotAllowed,
    }
}

fn refusal_by_policy(policies: &[&Policy], approvals: &[&Approval]) -> Option<GrantReason> {
    if policies.iter().any(|policy| policy.effect == Effect::Deny) {
        return Some(GrantReason::DeniedByPolicy);
    }
    approval::is_rejected(approvals).then_some(GrantReason::ApprovalRejected)
}

/// The end comes first: a grant that begins after its end never begins.
fn refusal_by_time(grant: &Grant, now: Timestamp, clock: Timestamp) -> Option<GrantReason> {
    if matches!(grant.lifetime, Lifetime::Until(end) if end <= clock) {
        return Some(GrantReason::Expired);
    }
    grant
        .not_before
        .is_some_and(|begins_at| begins_at > now)
        .then_some(GrantReason::NotYetValid)
}

pub(super) fn limits<'a>(policies: &'a [&Policy]) -> impl Iterator<Item = &'a Limits> {
    policies.iter().filter_map(|policy| match &policy.effect {
        Effect::Deny => None,
        Effect::Limit(limits) => Some(limits),
    })
}

#[cfg(test)]
mod tests;

//! What is said in the status of each object.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use lanyard_access::{
    desired::GrantStanding,
    object::ObjectKey,
    reason::GrantReason,
    spiffe_id::{SpiffeId, TrustDomain},
};
use lanyard_crds::{
    access_grant::status::{AccessGrantStatus, ApprovedReason, EnforcedReason, ReadyReason},
    agent_identity::status::{AgentIdentityStatus, ReadyReason as IdentityReady},
    condition::{AcceptedReason, ConditionType},
    credential_source::status::{CredentialSourceStatus, ReadyReason as CredentialReady},
};

use super::{
    enforced::Enforced,
    known::{Known, KnownGrant, Life, reason_of},
    writes::Urgency,
};

/// The longest message.
const LONGEST_MESSAGE: usize = 4096;

/// Writes the conditions of one object.
struct Writer<'a> {
    old: &'a [Condition],
    generation: i64,
    now: Timestamp,
    conditions: Vec<Condition>,
}

impl<'a> Writer<'a> {
    fn new<S>(known: &'a Known<S>, old: &'a [Condition], now: Timestamp) -> Self {
        Self {
            old,
            generation: known.generation,
            now,
            conditions: Vec::new(),
        }
    }

    fn add(&mut self, condition: ConditionType, holds: Option<bool>, reason: &str, message: &str) {
        let status = match holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let type_ = condition.as_str().to_owned();
        let mut old = self.old.iter();
        let old = old.find(|old| old.type_ == type_ && old.status == status);
        self.conditions.push(Condition {
            last_transition_time: old
                .map_or(Time(self.now), |old| old.last_transition_time.clone()),
            message: message.chars().take(LONGEST_MESSAGE).collect(),
            observed_generation: Some(self.generation),
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_,
        });
    }

    /// Whether the object is in order.
    fn accepted(&mut self, errors: &[String]) -> bool {
        let is_good = errors.is_empty();
        let reason = if is_good {
            AcceptedReason::Valid
        } else {
            AcceptedReason::Invalid
        };
        let message = if is_good {
            reason.meaning().to_owned()
        } else {
            errors.join("; ")
        };
        self.add(
            ConditionType::Accepted,
            Some(is_good),
            reason.as_str(),
            &message,
        );
        is_good
    }
}

/// The status of an identity.
pub fn of_identity(
    key: &ObjectKey,
    known: &Known<AgentIdentityStatus>,
    trust_domain: &TrustDomain,
    now: Timestamp,
) -> AgentIdentityStatus {
    let mut writer = Writer::new(known, &known.status.conditions, now);
    let is_good = writer.accepted(&known.errors);
    let reason = if is_good {
        IdentityReady::Attesting
    } else {
        IdentityReady::NotAccepted
    };
    writer.add(
        ConditionType::Ready,
        Some(is_good),
        reason.as_str(),
        reason.meaning(),
    );
    AgentIdentityStatus {
        observed_generation: Some(known.generation),
        spiffe_id: Some(SpiffeId::of_agent(trust_domain, key).to_string()),
        conditions: writer.conditions,
    }
}

/// The status of a credential. Whether one that is in order can be obtained is said by the authority.
pub fn of_credential(
    known: &Known<CredentialSourceStatus>,
    now: Timestamp,
) -> CredentialSourceStatus {
    let mut writer = Writer::new(known, &known.status.conditions, now);
    if !writer.accepted(&known.errors) {
        let reason = CredentialReady::NotAccepted;
        writer.add(
            ConditionType::Ready,
            Some(false),
            reason.as_str(),
            reason.meaning(),
        );
    }
    CredentialSourceStatus {
        observed_generation: Some(known.generation),
        conditions: writer.conditions,
    }
}

/// Whether the status of a credential already says what the operator has to say.
pub fn says(old: &CredentialSourceStatus, new: &CredentialSourceStatus) -> bool {
    let has = |condition| old.conditions.contains(condition);
    let is_taken_back = new.conditions.len() == 1
        && reason_of(&old.conditions, ConditionType::Ready.as_str())
            == Some(CredentialReady::NotAccepted.as_str());
    old.observed_generation == new.observed_generation
        && new.conditions.iter().all(has)
        && !is_taken_back
}

/// The status of a grant.
pub fn of_grant(
    grant: &KnownGrant,
    standing: Option<&GrantStanding>,
    enforced: &Enforced,
    needs_approval: bool,
    now: Timestamp,
) -> AccessGrantStatus {
    let known = &grant.known;
    let mut writer = Writer::new(known, &known.status.conditions, now);
    writer.accepted(&known.errors);
    let mut life = grant.written;
    if let Some(standing) = standing {
        add_approved(&mut writer, standing.reason, needs_approval);
        let reason = standing.reason;
        let holds = enforced.reason == EnforcedReason::Acknowledged;
        writer.add(
            ConditionType::Enforced,
            Some(holds),
            enforced.reason.as_str(),
            &enforced.message,
        );
        let is_active = reason == GrantReason::Active;
        writer.add(
            ConditionType::Ready,
            Some(is_active),
            reason.as_str(),
            reason.message(),
        );
        life = life.and(Life {
            activated_at: standing.activated_at,
            expires_at: standing.activated_at.and(standing.ends_at),
        });
    } else {
        let reason = ReadyReason::NotAccepted;
        writer.add(
            ConditionType::Ready,
            Some(false),
            reason.as_str(),
            reason.meaning(),
        );
    }
    AccessGrantStatus {
        observed_generation: Some(known.generation),
        activated_at: life.activated_at.map(|at| at.to_string()),
        expires_at: life.expires_at.map(|at| at.to_string()),
        conditions: writer.conditions,
    }
}

fn add_approved(writer: &mut Writer<'_>, reason: GrantReason, needs_approval: bool) {
    let (holds, approved) = match reason {
        GrantReason::ApprovalPending | GrantReason::ReviewPending => {
            (None, ApprovedReason::Pending)
        }
        GrantReason::ApprovalRejected | GrantReason::DeniedByPolicy => {
            (Some(false), ApprovedReason::Rejected)
        }
        GrantReason::RequesterNotAllowed => (Some(false), ApprovedReason::RequesterNotAllowed),
        GrantReason::Active
        | GrantReason::NotYetValid
        | GrantReason::Expired
        | GrantReason::UsedUp
        | GrantReason::Revoked
        | GrantReason::IdentityNotFound
        | GrantReason::EvidenceUnreachable
        | GrantReason::CredentialNotFound
        | GrantReason::CredentialNotConsented
        | GrantReason::CredentialHostNotAllowed => {
            let approved = if needs_approval {
                ApprovedReason::Approved
            } else {
                ApprovedReason::NotRequired
            };
            (Some(true), approved)
        }
    };
    writer.add(
        ConditionType::Approved,
        holds,
        approved.as_str(),
        approved.meaning(),
    );
}

/// How urgent it is that a status becomes another.
pub fn urgency(old: &[Condition], new: &[Condition]) -> Urgency {
    let ready = ConditionType::Ready.as_str();
    let active = Some(GrantReason::Active.as_str());
    let ended = [GrantReason::Expired, GrantReason::UsedUp].map(|reason| Some(reason.as_str()));
    let (was, is) = (reason_of(old, ready), reason_of(new, ready));
    let reasons = |conditions: &[Condition]| -> Vec<(String, String)> {
        let pairs = conditions.iter();
        let pairs = pairs.map(|condition| (condition.type_.clone(), condition.reason.clone()));
        pairs.collect()
    };
    if was == active && is != active && !ended.contains(&is) {
        Urgency::Revoke
    } else if was != active && is == active {
        Urgency::Activate
    } else if was != is || reasons(old) != reasons(new) {
        Urgency::End
    } else {
        Urgency::Counters
    }
}

#[cfg(test)]
mod tests;

use lanyard_access::object::Uid;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn grant(status: AccessGrantStatus, errors: &[&str]) -> KnownGrant {
    let written = Life::of(&status);
    let errors = errors.iter().map(|error| (*error).to_owned()).collect();
    let known = Known {
        uid: Uid::new("u"),
        generation: 3,
        status,
        errors,
    };
    KnownGrant { known, written }
}

fn standing(reason: GrantReason) -> GrantStanding {
    GrantStanding {
        uid: Uid::new("u"),
        spec_hash: lanyard_access::digest::Sha256Digest::new([1; 32]),
        identity: "team/bot".parse().unwrap(),
        reason,
        activated_at: Some(at(0)),
        ends_at: Some(at(600)),
        changes_at: None,
    }
}

fn enforced(reason: EnforcedReason) -> Enforced {
    Enforced {
        reason,
        message: "1 of 1 nodes".into(),
    }
}

fn told(grant: &KnownGrant, reason: GrantReason, now: i64) -> AccessGrantStatus {
    let enforced = enforced(EnforcedReason::Acknowledged);
    of_grant(grant, Some(&standing(reason)), &enforced, false, at(now))
}

#[test]
fn every_condition_is_there_with_the_generation_it_is_about() {
    for reason in GrantReason::ALL {
        let status = told(&grant(AccessGrantStatus::default(), &[]), *reason, 0);
        let types: Vec<&str> = status.conditions.iter().map(|c| c.type_.as_str()).collect();
        assert_eq!(types, ["Accepted", "Approved", "Enforced", "Ready"]);
        assert!(
            status
                .conditions
                .iter()
                .all(|c| c.observed_generation == Some(3))
        );
        assert_eq!(status.conditions[3].reason, reason.as_str());
        let is_ready = status.conditions[3].status == "True";
        assert_eq!(is_ready, *reason == GrantReason::Active);
    }
}

#[test]
fn what_stays_keeps_its_time_and_is_not_written_again() {
    let first = told(
        &grant(AccessGrantStatus::default(), &[]),
        GrantReason::Active,
        0,
    );
    let known = grant(first.clone(), &[]);
    assert_eq!(told(&known, GrantReason::Active, 50), first);
    let ended = told(&known, GrantReason::Revoked, 60);
    let time =
        |status: &AccessGrantStatus, place: usize| status.conditions[place].last_transition_time.0;
    assert_eq!(time(&ended, 0), at(0));
    assert_eq!(time(&ended, 3), at(60));
}

#[test]
fn beginning_and_end_never_move_later() {
    let written = AccessGrantStatus {
        activated_at: Some(at(-100).to_string()),
        expires_at: Some(at(500).to_string()),
        ..AccessGrantStatus::default()
    };
    let status = told(&grant(written.clone(), &[]), GrantReason::Active, 0);
    assert_eq!(status.activated_at, written.activated_at);
    assert_eq!(status.expires_at, written.expires_at);
    let fresh = told(
        &grant(AccessGrantStatus::default(), &[]),
        GrantReason::Active,
        0,
    );
    assert_eq!(fresh.expires_at, Some(at(600).to_string()));
}

#[test]
fn an_object_that_is_not_in_order_says_where() {
    let broken = grant(AccessGrantStatus::default(), &["spec.duration: too long"]);
    let status = of_grant(
        &broken,
        None,
        &enforced(EnforcedReason::NoNodes),
        false,
        at(0),
    );
    assert_eq!(status.conditions[0].message, "spec.duration: too long");
    assert_eq!(status.conditions[1].reason, "NotAccepted");
    assert_eq!(status.activated_at, None);
}

#[test]
fn what_takes_access_away_is_most_urgent() {
    let active = told(
        &grant(AccessGrantStatus::default(), &[]),
        GrantReason::Active,
        0,
    );
    let of = |reason| {
        let new = told(&grant(active.clone(), &[]), reason, 1);
        urgency(&active.conditions, &new.conditions)
    };
    assert_eq!(of(GrantReason::Revoked), Urgency::Revoke);
    assert_eq!(of(GrantReason::DeniedByPolicy), Urgency::Revoke);
    assert_eq!(of(GrantReason::Expired), Urgency::End);
    assert_eq!(of(GrantReason::Active), Urgency::Counters);
    assert_eq!(urgency(&[], &active.conditions), Urgency::Activate);
}

#[test]
fn the_authority_says_whether_a_credential_can_be_obtained() {
    let good = Known {
        uid: Uid::new("u"),
        generation: 1,
        status: CredentialSourceStatus::default(),
        errors: Vec::new(),
    };
    let mut status = of_credential(&good, at(0));
    assert_eq!(status.conditions.len(), 1);
    let mut other = status.conditions[0].clone();
    other.type_ = "Ready".into();
    other.reason = "Available".into();
    let wanted = status.clone();
    status.conditions.push(other);
    assert!(says(&status, &wanted));
    status.conditions[1].reason = "NotAccepted".into();
    assert!(
        !says(&status, &wanted),
        "what the operator said is taken back"
    );
}

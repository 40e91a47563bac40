//! Grants: what is written, what is already settled, and whether their requesters may.

use std::time::Instant;

use kube::core::DeserializeGuard;
use lanyard_access::{
    compile::{Change, Past},
    grant::{Asked, Grant},
    lifetime::Lifetime,
    object::{ObjectKey, Uid},
    pod,
    reason::GrantReason,
};
use lanyard_crds::{
    access_grant::{AccessGrant, AccessGrantStatus, DECISION},
    kind::Kind,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{World, split, texts};
use crate::decide::{
    input::Moment,
    known::{Known, KnownGrant, Life, annotation, life_of, metadata_of, reason_of},
    reviews::{Question, Requester, Verdict},
    state::Write,
};

impl World {
    pub(super) fn put_grant(
        &mut self,
        key: &ObjectKey,
        object: Option<DeserializeGuard<AccessGrant>>,
        at: Moment,
    ) {
        let Some(object) = object else {
            self.grants.remove(key);
            return self.forget(key);
        };
        let (uid, generation) = life_of(metadata_of(&object, |object| &object.metadata));
        let before = self
            .grants
            .get(key)
            .filter(|before| before.known.uid == uid);
        let before = before.map(|before| before.written).unwrap_or_default();
        let object = match object.0 {
            Ok(object) => object,
            Err(invalid) => {
                let status = before_only(before);
                let errors = vec![invalid.error];
                let known = Known {
                    uid,
                    generation,
                    status,
                    errors,
                };
                let known = KnownGrant {
                    known,
                    written: before,
                };
                self.changed
                    .subjects
                    .insert((Kind::AccessGrant, key.clone()));
                self.grants.insert(key.clone(), known);
                return self.forget(key);
            }
        };
        let status = object.status.clone().unwrap_or_default();
        let written = before.and(Life::of(&status));
        let checked = object
            .check(uid.clone(), written.activated_at)
            .map_err(|errors| texts(&errors));
        let (checked, errors) = split(checked);
        let is_expired =
            reason_of(&status.conditions, "Ready") == Some(GrantReason::Expired.as_str());
        let known = Known {
            uid,
            generation,
            status,
            errors,
        };
        self.changed
            .subjects
            .insert((Kind::AccessGrant, key.clone()));
        self.grants
            .insert(key.clone(), KnownGrant { known, written });
        let Some(mut checked) = checked else {
            return self.forget(key);
        };
        if annotation(&object, DECISION).is_some() {
            self.decided.insert(key.clone());
        } else {
            self.decided.remove(key);
        }
        if let (Some(activated_at), Some(end)) = (written.activated_at, written.expires_at) {
            checked.lifetime = Lifetime::Until(checked.lifetime.end(activated_at).min(end));
            let past = Past {
                activated_at: Some(activated_at),
                ended_at: is_expired.then_some(end),
                used_up: false,
            };
            let (uid, hash) = (checked.uid.clone(), checked.spec_hash);
            self.compiler.remember(key, &uid, &hash, past);
        }
        let verdict = self.review(&object, &checked, generation, written, at.steady);
        self.checked.insert(key.clone(), checked);
        self.give(key, verdict);
    }

    /// What is known of the right of the user who asked for a grant.
    fn review(
        &mut self,
        object: &AccessGrant,
        checked: &Grant,
        generation: i64,
        written: Life,
        now: Instant,
    ) -> Verdict {
        let Some(requester) = requester_of(object) else {
            self.reviews.remove(&checked.key);
            return Verdict::Refused;
        };
        let question = Question {
            grant: checked.key.clone(),
            uid: checked.uid.clone(),
            generation,
            requester,
            identity: checked.identity.clone(),
            credential: checked.credential.clone(),
        };
        self.reviews
            .put(question, written.activated_at.is_some(), now)
    }

    /// Hands a checked grant to the compiler, with what is known of its requester.
    pub(in crate::decide) fn give(&mut self, key: &ObjectKey, verdict: Verdict) {
        let Some(checked) = self.checked.get(key) else {
            return;
        };
        let mut grant = checked.clone();
        match verdict {
            Verdict::Allowed => {}
            Verdict::Unknown => grant.asked = grant.asked.or(Some(Asked::Unreviewed)),
            Verdict::Refused => grant.asked = Some(Asked::NotAllowed),
        }
        self.stale.insert(grant.identity.clone());
        self.compiler.apply(Change::Grant(key.clone(), Some(grant)));
    }

    fn forget(&mut self, key: &ObjectKey) {
        if let Some(old) = self.checked.remove(key) {
            self.stale.insert(old.identity);
        }
        self.decided.remove(key);
        self.reviews.remove(key);
        self.compiler.apply(Change::Grant(key.clone(), None));
    }

    /// Notes that a status was written: what stands there was said.
    pub(in crate::decide) fn wrote(&mut self, kind: Kind, key: &ObjectKey, write: &Write) {
        let (uid, status) = (&write.uid, &write.status);
        match kind {
            Kind::AgentIdentity => note(self.identities.get_mut(key), uid, status),
            Kind::CredentialSource => {}
            Kind::AccessGrant => {
                let Some(grant) = self.grants.get_mut(key) else {
                    return;
                };
                if grant.known.uid != *uid {
                    return;
                }
                grant.written = grant.written.and(write.life);
                note(Some(&mut grant.known), uid, status);
                if let Some(checked) = self.checked.get(key) {
                    self.stale.insert(checked.identity.clone());
                }
            }
        }
    }
}

/// Who asked for a grant, as admission wrote it down.
fn requester_of(grant: &AccessGrant) -> Option<Requester> {
    let user = annotation(grant, pod::REQUESTED_BY)?;
    let groups = annotation(grant, pod::REQUESTER_GROUPS);
    let groups = groups.map_or(Some(Vec::new()), |groups| serde_json::from_str(groups).ok())?;
    (!user.is_empty()).then(|| Requester {
        user: user.to_owned(),
        groups,
    })
}

fn before_only(life: Life) -> AccessGrantStatus {
    AccessGrantStatus {
        activated_at: life.activated_at.map(|at| at.to_string()),
        expires_at: life.expires_at.map(|at| at.to_string()),
        ..Default::default()
    }
}

fn note<S: DeserializeOwned>(known: Option<&mut Known<S>>, uid: &Uid, status: &Value) {
    if let Some(known) = known.filter(|known| known.uid == *uid)
        && let Ok(status) = S::deserialize(status)
    {
        known.status = status;
    }
}

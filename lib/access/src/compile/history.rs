//! What earlier compilations fixed for a grant, so that neither a clock nor a re-apply undoes it.
//!
//! An approval is bound to uid and spec, so a spec that is changed and changed back finds its past again:
//! otherwise ten approved minutes would begin anew as often as somebody edits the grant. For the same
//! reason a grant that is gone leaves its past behind for a while.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::standing::earliest;
use crate::{
    digest::Sha256Digest,
    grant::Grant,
    object::{ObjectKey, Uid},
};

/// What happened to one uid and spec of a grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When it was first ready.
    pub activated_at: Option<Timestamp>,
    /// The latest of its ends that a clock was seen to pass. A clock that is set back does not bring
    /// back what ended by then.
    pub ended_at: Option<Timestamp>,
    /// Whether as many requests or bytes as it allows were carried under it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used_up: bool,
}

impl Past {
    /// What both say, the stricter of the two where they differ.
    fn and(self, other: Self) -> Self {
        Self {
            activated_at: earliest(self.activated_at, other.activated_at),
            ended_at: self.ended_at.max(other.ended_at),
            used_up: self.used_up || other.used_up,
        }
    }
}

/// The past of every grant. A caller that outlives its process keeps it and hands it to
/// [`Compiler::with_history`](super::Compiler::with_history).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Nearly every key has one life, and nearly every life one spec: lists take the least memory.
    lives: BTreeMap<ObjectKey, Vec<Life>>,
    /// Lives that are over, the first to end first.
    over: VecDeque<(ObjectKey, Uid)>,
}

/// One life of a grant, from its creation to its deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Life {
    uid: Uid,
    revoked: bool,
    is_over: bool,
    specs: Vec<(Sha256Digest, Past)>,
}

impl History {
    /// How many specs of one life are told apart, so that editing a grant again and again takes no more
    /// memory than this. The last of them and all that come after it have one past together.
    pub const MOST_SPECS: usize = 64;

    /// How many lives that are over are remembered, for an object that comes back with its old uid. The
    /// API server never does that; a folder of manifests may.
    pub const MOST_OVER: usize = 4096;

    /// What happened to this uid and spec.
    pub fn past_of(&self, key: &ObjectKey, uid: &Uid, spec: &Sha256Digest) -> Past {
        self.life(key, uid)
            .map(|life| life.past_of(spec))
            .unwrap_or_default()
    }

    /// Whether this life was ever revoked.
    pub fn is_revoked(&self, key: &ObjectKey, uid: &Uid) -> bool {
        self.life(key, uid).is_some_and(|life| life.revoked)
    }

    /// Takes note of what happened to this uid and spec, as the caller kept it. What is known already is
    /// never softened by it.
    pub fn remember(&mut self, key: &ObjectKey, uid: &Uid, spec: &Sha256Digest, past: Past) {
        if past != Past::default() {
            self.life_mut(key, uid).remember(spec, past);
        }
    }

    /// `grant` as it is with its past: what was revoked stays so, and what was ready stays as old.
    pub(super) fn recall(&self, mut grant: Grant) -> Grant {
        if let Some(life) = self.life(&grant.key, &grant.uid) {
            let past = life.past_of(&grant.spec_hash);
            grant.activated_at = earliest(grant.activated_at, past.activated_at);
            grant.revoked |= life.revoked;
        }
        grant
    }

    /// As [`Self::recall`], for a grant that is written now; and takes note of what it says of itself.
    pub(super) fn admit(&mut self, grant: Grant) -> Grant {
        let grant = self.recall(grant);
        let past = Past {
            activated_at: grant.activated_at,
            ..Past::default()
        };
        self.remember(&grant.key, &grant.uid, &grant.spec_hash, past);
        if grant.revoked {
            self.life_mut(&grant.key, &grant.uid).revoked = true;
        }
        self.unbury(&grant.key, &grant.uid);
        grant
    }

    /// Notes that this life is revoked, for good.
    pub(super) fn revoke(&mut self, key: &ObjectKey, uid: &Uid) {
        self.life_mut(key, uid).revoked = true;
    }

    /// Notes that a life is over, and forgets the first that ended when too many did.
    pub(super) fn bury(&mut self, key: &ObjectKey, uid: &Uid) {
        match self.known_life_mut(key, uid) {
            Some(life) if !life.is_over => life.is_over = true,
            Some(_) | None => return,
        }
        self.over.push_back((key.clone(), uid.clone()));
        while self.over.len() > Self::MOST_OVER {
            if let Some((key, uid)) = self.over.pop_front() {
                self.forget(&key, &uid);
            }
        }
    }

    fn unbury(&mut self, key: &ObjectKey, uid: &Uid) {
        if let Some(life) = self.known_life_mut(key, uid)
            && life.is_over
        {
            life.is_over = false;
            self.over
                .retain(|(other_key, other_uid)| other_key != key || other_uid != uid);
        }
    }

    /// Notes that every life is over but those of `grants`.
    pub(super) fn bury_all_but(&mut self, grants: &BTreeMap<ObjectKey, Grant>) {
        let mut over = Vec::new();
        for (key, lives) in &self.lives {
            let living = grants.get(key).map(|grant| &grant.uid);
            let ended = lives.iter().filter(|life| living != Some(&life.uid));
            over.extend(ended.map(|life| (key.clone(), life.uid.clone())));
        }
        for (key, uid) in over {
            self.bury(&key, &uid);
        }
    }

    fn forget(&mut self, key: &ObjectKey, uid: &Uid) {
        if let Some(lives) = self.lives.get_mut(key) {
            lives.retain(|life| life.uid != *uid);
            if lives.is_empty() {
                self.lives.remove(key);
            }
        }
    }

    fn life(&self, key: &ObjectKey, uid: &Uid) -> Option<&Life> {
        self.lives.get(key)?.iter().find(|life| life.uid == *uid)
    }

    fn known_life_mut(&mut self, key: &ObjectKey, uid: &Uid) -> Option<&mut Life> {
        let lives = self.lives.get_mut(key)?;
        lives.iter_mut().find(|life| life.uid == *uid)
    }

    fn life_mut(&mut self, key: &ObjectKey, uid: &Uid) -> &mut Life {
        let lives = self
            .lives
            .entry(key.clone())
            .or_insert_with(|| Vec::with_capacity(1));
        let place = lives.iter().position(|life| life.uid == *uid);
        let place = place.unwrap_or_else(|| {
            lives.push(Life::new(uid.clone()));
            lives.len() - 1
        });
        &mut lives[place]
    }
}

impl Life {
    fn new(uid: Uid) -> Self {
        Self {
            uid,
            revoked: false,
            is_over: false,
            specs: Vec::with_capacity(1),
        }
    }

    /// The end belongs to the spec; the moment it was first ready to the whole life, so that a change of
    /// what may change (a justification) gives no time back.
    fn past_of(&self, spec: &Sha256Digest) -> Past {
        let of_spec = self.place_of(spec).map(|place| self.specs[place].1);
        let activated = self.specs.iter().filter_map(|(_, past)| past.activated_at);
        Past {
            activated_at: activated.min(),
            ..of_spec.unwrap_or_default()
        }
    }

    fn remember(&mut self, spec: &Sha256Digest, past: Past) {
        match self.place_of(spec) {
            Some(place) => self.specs[place].1 = self.specs[place].1.and(past),
            None => self.specs.push((*spec, past)),
        }
    }

    /// Where a spec is remembered. Those for which there is no room share the last place.
    fn place_of(&self, spec: &Sha256Digest) -> Option<usize> {
        let place = self.specs.iter().position(|(known, _)| known == spec);
        let is_full = self.specs.len() >= History::MOST_SPECS;
        place.or_else(|| is_full.then_some(History::MOST_SPECS - 1))
    }
}

#[cfg(test)]
mod tests;

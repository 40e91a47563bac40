//! What an API server would keep of objects that come from files or were applied: which life of which object
//! each is.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lanyard_access::{
    compile::{History, Written},
    digest::Sha256Digest,
    object::{ObjectKey, Uid},
};
use lanyard_crds::{
    kind::Kind,
    manifest::{Content, Lives, Object, Set},
    spec_hash::spec_hash,
};
use uuid::Uuid;

use crate::{kept::Life, node::Node};

/// How long the life of an object that is gone and has ended is remembered.
const GONE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long one that was ready and not seen to end: longer than any duration that can be written (8784h).
const LONGEST: SignedDuration = SignedDuration::from_hours(8784);

/// A set that may become what is written.
pub(super) struct Taken {
    set: Set,
    written: Written,
    lives: Vec<Life>,
}

/// What is in force on a node, and what is kept of it.
pub(super) trait InForce {
    /// The objects.
    fn objects(&self) -> Option<&Set>;
    /// The past of grants.
    fn history(&self) -> &History;
    /// The lives of objects.
    fn lives(&self) -> &[Life];
    /// Makes it what is written.
    fn put(&mut self, taken: Taken);
    /// Says what of the files is not in force.
    fn set_problems(&mut self, problems: Vec<String>);
}

impl InForce for Node {
    fn objects(&self) -> Option<&Set> {
        self.manifests.as_ref()
    }

    fn history(&self) -> &History {
        self.compiler.history()
    }

    fn lives(&self) -> &[Life] {
        &self.kept.lives
    }

    fn put(&mut self, taken: Taken) {
        let Taken {
            set,
            written,
            lives,
        } = taken;
        let known: BTreeSet<Uid> = lives.iter().map(|life| life.uid.clone()).collect();
        self.deadlines.retain(|uid| known.contains(uid));
        self.kept.lives = lives;
        self.compiler.replace(written);
        self.manifests = Some(set);
    }

    fn set_problems(&mut self, problems: Vec<String>) {
        self.problems = problems;
    }
}

/// Looks whether a set of objects may become what is written; or says why not: the last good state is kept
/// then.
///
/// An object that is there already is updated under the rules of an update. One that comes back exactly as it
/// was has its old life, so that nothing begins anew by a file that was gone for a moment; one that comes back
/// changed is another object, unless it was revoked: a revocation is undone by another name alone.
pub(super) fn check(
    in_force: &impl InForce,
    set: Set,
    now: Timestamp,
) -> Result<Taken, Vec<String>> {
    let old = in_force.objects();
    let refused = old.map(|old| set.check_update(old)).unwrap_or_default();
    if !refused.is_empty() {
        return Err(refused.iter().map(ToString::to_string).collect());
    }
    let history = in_force.history();
    let mut known = Known {
        old,
        set: &set,
        lives: by_name(in_force.lives()),
        history,
    };
    let written = set.written(&mut known);
    let lives = aged(known.lives.into_values(), &set, history, now);
    match written {
        Ok(written) => Ok(Taken {
            set,
            written,
            lives,
        }),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

struct Known<'a> {
    old: Option<&'a Set>,
    set: &'a Set,
    lives: BTreeMap<(String, ObjectKey), Life>,
    history: &'a History,
}

impl Lives for Known<'_> {
    fn uid_of(&mut self, kind: Kind, key: &ObjectKey) -> Uid {
        let hash = self
            .set
            .get(kind, key)
            .and_then(hash_of)
            .unwrap_or(Sha256Digest::new([0; 32]));
        let is_update = self.old.is_none_or(|old| old.get(kind, key).is_some());
        let name = (kind.to_string(), key.clone());
        let life = self.lives.entry(name).or_insert_with(|| Life {
            kind: kind.to_string(),
            key: key.clone(),
            uid: new_uid(),
            spec_hash: hash,
            gone_at: None,
        });
        let is_another = !is_update && life.spec_hash != hash;
        if is_another && !self.history.is_revoked(key, &life.uid) {
            life.uid = new_uid();
        }
        life.spec_hash = hash;
        life.uid.clone()
    }

    /// The compiler's own history knows.
    fn activated_at(&mut self, _grant: &Uid, _spec_hash: &Sha256Digest) -> Option<Timestamp> {
        None
    }
}

/// Notes which objects are gone, and forgets those that are so for long and could give nothing back.
fn aged(
    lives: impl Iterator<Item = Life>,
    set: &Set,
    history: &History,
    now: Timestamp,
) -> Vec<Life> {
    lives
        .map(|mut life| {
            let kind = Kind::of_name(&life.kind);
            let is_there = kind.is_some_and(|kind| set.get(kind, &life.key).is_some());
            life.gone_at = if is_there {
                None
            } else {
                Some(life.gone_at.unwrap_or(now))
            };
            life
        })
        .filter(|life| !is_forgotten(life, history, now))
        .collect()
}

/// A name that was revoked is never forgotten: by another life of it the revocation would be undone.
fn is_forgotten(life: &Life, history: &History, now: Timestamp) -> bool {
    let Some(gone_at) = life.gone_at else {
        return false;
    };
    if history.is_revoked(&life.key, &life.uid) {
        return false;
    }
    let past = history.past_of(&life.key, &life.uid, &life.spec_hash);
    let has_ended = past.activated_at.is_none() || past.ended_at.is_some();
    let kept_for = if has_ended { GONE } else { LONGEST.max(GONE) };
    now.duration_since(gone_at) > kept_for
}

fn new_uid() -> Uid {
    Uid::new(Uuid::new_v4().to_string())
}

fn by_name(lives: &[Life]) -> BTreeMap<(String, ObjectKey), Life> {
    let named = lives
        .iter()
        .map(|life| ((life.kind.clone(), life.key.clone()), life.clone()));
    named.collect()
}

fn hash_of(object: &Object) -> Option<Sha256Digest> {
    match &object.content {
        Content::AgentIdentity(identity) => spec_hash(&identity.spec),
        Content::AccessGrant(grant) => spec_hash(&grant.spec),
        Content::CredentialSource(source) => spec_hash(&source.spec),
    }
    .ok()
}

/// A node without a kernel.
#[cfg(test)]
#[derive(Default)]
pub(super) struct FakeNode {
    set: Option<Set>,
    compiler: lanyard_access::compile::Compiler,
    lives: Vec<Life>,
    pub(super) problems: Vec<String>,
}

#[cfg(test)]
impl InForce for FakeNode {
    fn objects(&self) -> Option<&Set> {
        self.set.as_ref()
    }

    fn history(&self) -> &History {
        self.compiler.history()
    }

    fn lives(&self) -> &[Life] {
        &self.lives
    }

    fn put(&mut self, taken: Taken) {
        self.lives = taken.lives;
        self.compiler.replace(taken.written);
        self.set = Some(taken.set);
    }

    fn set_problems(&mut self, problems: Vec<String>) {
        self.problems = problems;
    }
}

#[cfg(test)]
mod tests {
    use lanyard_access::compile::Past;

    use super::{
        super::stored::sample::{grant, objects},
        *,
    };

    const HASH: Sha256Digest = Sha256Digest::new([1; 32]);

    fn life(name: &str) -> Life {
        Life {
            kind: "AccessGrant".into(),
            key: name.parse().unwrap(),
            uid: Uid::new(name),
            spec_hash: HASH,
            gone_at: None,
        }
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn left(mut lives: Vec<Life>, set: &Set, history: &History, days: &[i64]) -> Vec<String> {
        for day in days {
            lives = aged(lives.into_iter(), set, history, at(*day));
        }
        lives.iter().map(|life| life.key.name.to_string()).collect()
    }

    #[test]
    fn what_is_gone_for_a_month_is_forgotten_and_what_is_there_is_not() {
        let set = Set::new(objects(&grant("there", "a.example"))).unwrap();
        let lives = || vec![life("there"), life("gone")];
        let history = History::default();
        assert_eq!(left(lives(), &set, &history, &[0, 30]), ["there", "gone"]);
        assert_eq!(left(lives(), &set, &history, &[0, 31]), ["there"]);
        let back = [0, 20];
        let there = left(
            lives(),
            &Set::new(objects(&grant("gone", "a.example"))).unwrap(),
            &history,
            &back,
        );
        assert_eq!(there, ["there", "gone"]);
    }

    #[test]
    fn what_was_ready_and_not_seen_to_end_is_remembered_for_longer_than_it_can_last() {
        let mut history = History::default();
        let past = |ended_at| Past {
            activated_at: Some(at(0)),
            ended_at,
            ..Past::default()
        };
        let key = |name: &str| name.parse().unwrap();
        history.remember(&key("open"), &Uid::new("open"), &HASH, past(None));
        history.remember(&key("ended"), &Uid::new("ended"), &HASH, past(Some(at(1))));
        let lives = || vec![life("open"), life("ended")];
        let nothing = Set::default();
        assert_eq!(left(lives(), &nothing, &history, &[0, 31]), ["open"]);
        assert_eq!(left(lives(), &nothing, &history, &[0, 366]), ["open"]);
        assert!(left(lives(), &nothing, &history, &[0, 368]).is_empty());
    }

    #[test]
    fn a_revoked_name_is_never_forgotten() {
        let revoked =
            grant("gone", "a.example").replace("duration: 1h", "duration: 1h, revoked: true");
        let set = Set::new(objects(&revoked)).unwrap();
        let history = History::default();
        let mut known = Known {
            old: None,
            set: &set,
            lives: by_name(&[life("gone")]),
            history: &history,
        };
        let written = set.written(&mut known).unwrap();
        let lives = known.lives.into_values().collect();
        let mut compiler = lanyard_access::compile::Compiler::with_history(history.clone());
        compiler.replace(written);
        let nothing = Set::default();
        let days = [0, 31, 4000];
        assert_eq!(left(lives, &nothing, compiler.history(), &days), ["gone"]);
    }
}

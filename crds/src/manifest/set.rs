//! All objects of all files.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lanyard_access::{
    compile::Written,
    digest::Sha256Digest,
    object::{ObjectKey, Uid},
};

use super::{Content, Object};
use crate::{
    field::FieldError,
    kind::Kind,
    problem::{Mistake, Problem},
    spec_hash::spec_hash,
};

/// Objects of which no two have the same kind, namespace and name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Set {
    objects: BTreeMap<(Kind, ObjectKey), Object>,
}

/// What the caller keeps about the lives of objects, which a file cannot say.
pub trait Lives {
    /// The uid of the object, which tells its present life from earlier ones of the same name.
    fn uid_of(&mut self, kind: Kind, key: &ObjectKey) -> Uid;

    /// When this life and spec of a grant was first ready, if it ever was.
    fn activated_at(&mut self, grant: &Uid, spec_hash: &Sha256Digest) -> Option<Timestamp>;
}

impl Set {
    /// The objects of any number of files, or each that is written more than once.
    pub fn new(objects: impl IntoIterator<Item = Object>) -> Result<Self, Vec<Problem>> {
        let objects: Vec<Object> = objects.into_iter().collect();
        let repeated = find_repeated(&objects);
        if !repeated.is_empty() {
            return Err(repeated);
        }
        let objects = objects
            .into_iter()
            .map(|object| ((object.kind(), object.key.clone()), object));
        Ok(Self {
            objects: objects.collect(),
        })
    }

    /// The objects, in the order of kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// The object of that kind, namespace and name.
    pub fn get(&self, kind: Kind, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(&(kind, key.clone()))
    }

    /// What may not follow `old`, the set that was read before: see [`Object::check_update`].
    pub fn check_update(&self, old: &Self) -> Vec<Problem> {
        let pairs = self
            .objects
            .iter()
            .filter_map(|(key, object)| Some((object, old.objects.get(key)?)));
        pairs
            .flat_map(|(object, old)| object.check_update(old))
            .collect()
    }

    /// The checked form of every object, for [`lanyard_access::compile`].
    pub fn written(&self, lives: &mut impl Lives) -> Result<Written, Vec<Problem>> {
        let mut written = Written::default();
        let mut problems = Vec::new();
        for ((kind, key), object) in &self.objects {
            let uid = lives.uid_of(*kind, key);
            if let Err(errors) = add(&mut written, object, uid, lives) {
                problems.extend(errors.into_iter().map(|error| in_file(object, &error)));
            }
        }
        if problems.is_empty() {
            Ok(written)
        } else {
            Err(problems)
        }
    }
}

fn add(
    written: &mut Written,
    object: &Object,
    uid: Uid,
    lives: &mut impl Lives,
) -> Result<(), Vec<FieldError>> {
    let key = object.key.clone();
    match &object.content {
        Content::AgentIdentity(identity) => {
            written.identities.insert(key, identity.check(uid)?);
        }
        Content::AccessGrant(grant) => {
            let hash = spec_hash(&grant.spec).ok();
            let activated_at = hash.and_then(|hash| lives.activated_at(&uid, &hash));
            written.grants.insert(key, grant.check(uid, activated_at)?);
        }
        Content::CredentialSource(source) => {
            written.credentials.insert(key, source.check(uid)?);
        }
    }
    Ok(())
}

fn in_file(object: &Object, error: &FieldError) -> Problem {
    Mistake::new(object.position, &error.path, &*error.message).in_file(&object.file)
}

/// A problem for each object that an earlier one of `objects` has the kind, namespace and name of.
pub(super) fn find_repeated(objects: &[Object]) -> Vec<Problem> {
    let mut first = BTreeMap::new();
    let mut problems = Vec::new();
    for object in objects {
        let identity = (object.kind(), &object.key);
        let Some(earlier) = first.get(&identity).copied() else {
            first.insert(identity, object);
            continue;
        };
        let earlier: &Object = earlier;
        let message = format!(
            "{} {} is written twice; the first is at {}:{}",
            object.kind(),
            object.key,
            earlier.file,
            earlier.position.line
        );
        problems
            .push(Mistake::new(object.position, "metadata.name", message).in_file(&object.file));
    }
    problems
}

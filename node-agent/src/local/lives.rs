//! What an API server would keep of objects that come from files: which life of which object each is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lanyard_access::{
    compile::History,
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

/// Takes a set of objects as what is written, or says why not: the last good state is kept then.
///
/// An object that is there already is updated under the rules of an update, also when it was changed while
/// no node agent ran. One that comes back exactly as it was has its old life, so that nothing begins anew by
/// a file that was gone for a moment; one that comes back changed is another object, unless it was revoked:
/// a revocation is undone by another name alone.
pub(super) fn take(node: &mut Node, set: Set) -> Result<(), Vec<String>> {
    if let Some(old) = &node.manifests {
        let refused = set.check_update(old);
        if !refused.is_empty() {
            return Err(refused.iter().map(ToString::to_string).collect());
        }
    }
    let mut lives = Known {
        old: node.manifests.as_ref(),
        set: &set,
        lives: by_name(&node.kept.lives),
        history: node.compiler.history(),
    };
    let written = set.written(&mut lives);
    let lives = lives.lives;
    match written {
        Ok(written) => {
            node.kept.lives = lives.into_values().collect();
            node.compiler.replace(written);
            node.manifests = Some(set);
            Ok(())
        }
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

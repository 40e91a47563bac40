//! What is heard, and when.

use std::{collections::BTreeSet, time::Instant};

use jiff::Timestamp;
use kube::core::{DeserializeGuard, ObjectMeta};
use lanyard_access::object::ObjectKey;
use lanyard_crds::{
    access_grant::AccessGrant, agent_identity::AgentIdentity, credential_source::CredentialSource,
};

use super::known::key_of;
use crate::gather::pod::Pod;

/// What was heard of one kind.
#[derive(Debug)]
pub enum Seen<K> {
    /// All there are; what is not among them is gone.
    All(Vec<DeserializeGuard<K>>),
    /// One, as it is now.
    Now(DeserializeGuard<K>),
    /// One that is gone.
    Gone(DeserializeGuard<K>),
}

/// What was heard.
#[derive(Debug)]
pub enum Input {
    /// Of identities.
    Identities(Seen<AgentIdentity>),
    /// Of grants.
    Grants(Seen<AccessGrant>),
    /// Of credentials.
    Credentials(Seen<CredentialSource>),
    /// Of pods that have an identity.
    Pods(Seen<Pod>),
}

/// One moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The wall clock, in whole milliseconds, as status shows it.
    pub wall: Timestamp,
    /// The one that only goes forward.
    pub steady: Instant,
}

impl Moment {
    /// What both clocks show.
    pub fn new(wall: Timestamp, steady: Instant) -> Self {
        let wall = Timestamp::from_millisecond(wall.as_millisecond()).unwrap_or(wall);
        Self { wall, steady }
    }
}

impl<K> Seen<K> {
    /// The `keys` that are known, if those that are not heard of are gone.
    pub(super) fn known<'a>(
        &self,
        keys: impl Iterator<Item = &'a ObjectKey>,
    ) -> BTreeSet<ObjectKey> {
        match self {
            Self::All(_) => keys.cloned().collect(),
            Self::Now(_) | Self::Gone(_) => BTreeSet::new(),
        }
    }
}

/// Every object that was heard of, and every known one that is gone.
pub(super) fn each<K>(
    seen: Seen<K>,
    known: BTreeSet<ObjectKey>,
    metadata: impl Fn(&K) -> &ObjectMeta,
    mut put: impl FnMut(ObjectKey, Option<DeserializeGuard<K>>),
) {
    let key = |object: &DeserializeGuard<K>| match &object.0 {
        Ok(object) => key_of(metadata(object)),
        Err(invalid) => key_of(&invalid.metadata),
    };
    match seen {
        Seen::Now(object) => {
            if let Some(key) = key(&object) {
                put(key, Some(object));
            }
        }
        Seen::Gone(object) => {
            if let Some(key) = key(&object) {
                put(key, None);
            }
        }
        Seen::All(objects) => {
            let mut gone = known;
            let objects = objects
                .into_iter()
                .filter_map(|object| Some((key(&object)?, object)));
            let objects: Vec<_> = objects.collect();
            for (key, _) in &objects {
                gone.remove(key);
            }
            for key in gone {
                put(key, None);
            }
            for (key, object) in objects {
                put(key, Some(object));
            }
        }
    }
}

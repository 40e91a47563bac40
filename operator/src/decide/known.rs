//! What is known of an object beside what it asks for.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::{DeserializeGuard, ObjectMeta};
use lanyard_access::object::{ObjectKey, Uid};
use lanyard_crds::access_grant::{AccessGrant, status::AccessGrantStatus};

/// An object of the API, as far as its status goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Known<S> {
    /// This life of it.
    pub uid: Uid,
    /// The form of its spec.
    pub generation: i64,
    /// What stands in its status.
    pub status: S,
    /// What is wrong with it.
    pub errors: Vec<String>,
}

/// A grant, as far as its status goes.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownGrant {
    /// As with every object.
    pub known: Known<AccessGrantStatus>,
    /// The beginning and end that were once written down. Neither ever moves later.
    pub written: Life,
}

/// From when to when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// When it was first ready.
    pub activated_at: Option<Timestamp>,
    /// When it ends or ended.
    pub expires_at: Option<Timestamp>,
}

impl Life {
    /// As a status says.
    pub fn of(status: &AccessGrantStatus) -> Self {
        let read = |text: &Option<String>| text.as_deref()?.parse().ok();
        Self {
            activated_at: read(&status.activated_at),
            expires_at: read(&status.expires_at),
        }
    }

    /// The earlier of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let earlier = |one: Option<Timestamp>, other| one.into_iter().chain(other).min();
        Self {
            activated_at: earlier(self.activated_at, other.activated_at),
            expires_at: earlier(self.expires_at, other.expires_at),
        }
    }
}

/// Namespace and name of an object that the API server sent.
pub fn key_of(metadata: &ObjectMeta) -> Option<ObjectKey> {
    Some(ObjectKey {
        namespace: metadata.namespace.as_deref()?.parse().ok()?,
        name: metadata.name.as_deref()?.parse().ok()?,
    })
}

/// The parts of an object that tell its life and form.
pub fn life_of(metadata: &ObjectMeta) -> (Uid, i64) {
    let uid = Uid::new(metadata.uid.clone().unwrap_or_default());
    (uid, metadata.generation.unwrap_or_default())
}

/// The metadata, whether the object could be read or not.
pub fn metadata_of<K>(
    object: &DeserializeGuard<K>,
    read: impl Fn(&K) -> &ObjectMeta,
) -> &ObjectMeta {
    match &object.0 {
        Ok(object) => read(object),
        Err(invalid) => &invalid.metadata,
    }
}

/// The reason of a condition.
pub fn reason_of<'a>(conditions: &'a [Condition], name: &str) -> Option<&'a str> {
    let found = conditions.iter().find(|condition| condition.type_ == name);
    found.map(|condition| condition.reason.as_str())
}

/// An annotation of a grant.
pub fn annotation<'a>(grant: &'a AccessGrant, name: &str) -> Option<&'a str> {
    grant
        .metadata
        .annotations
        .as_ref()?
        .get(name)
        .map(String::as_str)
}

//! What an object of a file is.

use kube::core::ObjectMeta;
use lanyard_access::object::{ObjectKey, Uid};

use crate::{
    access_grant::AccessGrant,
    agent_identity::AgentIdentity,
    credential_source::CredentialSource,
    field::{FieldError, FieldErrors},
    kind::Kind,
    metadata::key_of,
};

/// An object as it was written, with defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Who an agent is.
    AgentIdentity(AgentIdentity),
    /// One time-bound permission.
    AccessGrant(Box<AccessGrant>),
    /// Where a credential comes from.
    CredentialSource(CredentialSource),
}

impl Content {
    /// The kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::AgentIdentity(_) => Kind::AgentIdentity,
            Self::AccessGrant(_) => Kind::AccessGrant,
            Self::CredentialSource(_) => Kind::CredentialSource,
        }
    }

    /// The object that `value`, which has the form that the kind's schema demands, stands for.
    pub(super) fn from_value(kind: Kind, value: serde_json::Value) -> serde_json::Result<Self> {
        match kind {
            Kind::AgentIdentity => serde_json::from_value(value).map(Self::AgentIdentity),
            Kind::AccessGrant => serde_json::from_value(value).map(Self::AccessGrant),
            Kind::CredentialSource => serde_json::from_value(value).map(Self::CredentialSource),
        }
    }

    const fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::AgentIdentity(object) => &object.metadata,
            Self::AccessGrant(object) => &object.metadata,
            Self::CredentialSource(object) => &object.metadata,
        }
    }

    /// Namespace and name.
    pub(super) fn key(&self) -> Result<ObjectKey, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let key = key_of(self.metadata(), &mut errors);
        errors.finish(key)
    }

    /// What is wrong with it. Its uid does not matter here.
    pub(super) fn errors(&self) -> Vec<FieldError> {
        let uid = Uid::new("");
        let errors = match self {
            Self::AgentIdentity(object) => object.check(uid).err(),
            Self::AccessGrant(object) => object.check(uid, None).err(),
            Self::CredentialSource(object) => object.check(uid).err(),
        };
        errors.unwrap_or_default()
    }
}

//! Where a credential comes from and who may have it used, checked. The secret itself is never here.

mod text;

use std::collections::BTreeSet;

pub use self::text::{
    HeaderName, ParseHeaderError, ParseParameterError, QueryParameter, STRUCTURAL_HEADERS,
};

use crate::{
    host::DnsName,
    object::{Namespace, ObjectKey, ObjectName, Uid},
};

/// A `CredentialSource`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSource {
    /// Namespace and name.
    pub key: ObjectKey,
    /// This life of the object.
    pub uid: Uid,
    /// The hosts the secret may ever be sent to.
    pub allowed_hosts: BTreeSet<DnsName>,
    /// Who may have it used.
    pub consumers: Consumers,
    /// How it is obtained.
    pub source: Source,
    /// How it is put into a request.
    pub injection: Injection,
}

impl CredentialSource {
    /// A user name and a password of the machine itself: for no agent, and no host that one could name.
    pub fn of_machine(secret: ObjectKey) -> Self {
        let name = secret.name.clone();
        Self {
            uid: Uid::new("of the machine"),
            allowed_hosts: BTreeSet::new(),
            consumers: Consumers {
                namespaces: BTreeSet::new(),
                identities: BTreeSet::new(),
            },
            source: Source::Basic { name },
            injection: Injection::Basic { username: None },
            key: secret,
        }
    }
}

/// Who may have a credential used. Consent stands with the credential's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumers {
    /// Namespaces beside the credential's own.
    pub namespaces: BTreeSet<Namespace>,
    /// Names of identities; every identity of an allowed namespace when empty.
    pub identities: BTreeSet<ObjectName>,
}

impl Consumers {
    /// Whether the owner in namespace `owner` lets `identity` have it used.
    pub fn allow(&self, owner: &Namespace, identity: &ObjectKey) -> bool {
        let namespace =
            identity.namespace == *owner || self.namespaces.contains(&identity.namespace);
        namespace && (self.identities.is_empty() || self.identities.contains(&identity.name))
    }
}

/// How a credential is obtained; one variant for each kind of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A static secret, kept by the authority.
    SecretKey {
        /// The name of the secret, in the source's own namespace.
        name: ObjectName,
        /// The key within it.
        key: String,
    },
    /// A static user name and password (RFC 7617), kept by the authority as the keys `username` and
    /// `password` of one secret, as Kubernetes' own type for them has it.
    Basic {
        /// The name of the secret, in the source's own namespace.
        name: ObjectName,
    },
}

/// How a credential is put into a request; one variant for each way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Injection {
    /// `Authorization: Bearer TOKEN` (RFC 6750, 2.1).
    Bearer,
    /// A header of its own.
    Header {
        /// Its name, in lower case.
        name: HeaderName,
        /// What stands before the secret, with the space between them if there is one.
        prefix: String,
    },
    /// `Authorization: Basic` (RFC 7617).
    Basic {
        /// The user name; that of the credential itself when absent.
        username: Option<String>,
    },
    /// A parameter of the URL's query.
    Query {
        /// Its name.
        parameter: QueryParameter,
    },
}

/// A credential that a live grant lets the broker put into requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedCredential {
    /// The `CredentialSource`.
    pub source: ObjectKey,
    /// How it is put in.
    pub injection: Injection,
}

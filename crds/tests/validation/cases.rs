//! The table: an object, what is changed in it, and the verdict.

mod change;
mod credential;
mod host;
mod identity;
mod lifetime;
mod resource;

use kube::core::cel::ValidationErrors;
use lanyard_crds::{
    access_grant::AccessGrant, agent_identity::AgentIdentity, credential_source::CredentialSource,
    kind::Kind,
};
use serde_json::{Value, json};

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// A field and a message.
    Refused(&'static str, &'static str),
}

/// One row.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) old: Option<Value>,
    pub(crate) new: Value,
    pub(crate) verdict: Verdict,
}

impl Case {
    /// What the rules find fault with.
    pub(crate) fn evaluate(&self) -> Vec<String> {
        macro_rules! validate {
            ($kind:ty) => {{
                let read = |value: &Value| -> $kind {
                    serde_json::from_value(value.clone()).expect("a row has the form of its kind")
                };
                let new = read(&self.new);
                match &self.old {
                    Some(old) => new.validate_cel_update(&read(old)),
                    None => new.validate_cel(),
                }
            }};
        }
        let result = match self.kind {
            Kind::AgentIdentity => validate!(AgentIdentity),
            Kind::AccessGrant => validate!(AccessGrant),
            Kind::CredentialSource => validate!(CredentialSource),
        };
        let errors = result
            .err()
            .map(ValidationErrors::into_vec)
            .unwrap_or_default();
        errors
            .into_iter()
            .map(|error| format!("{}: {}", error.field_path, error.message))
            .collect()
    }
}

/// A good object of a kind.
pub(crate) fn good(kind: Kind) -> Value {
    let spec = match kind {
        Kind::AgentIdentity => json!({ "workloadSelector": { "processes": [{
            "name": "curl",
            "executable": { "path": "/usr/bin/curl", "sha256": "0f".repeat(32) },
        }] } }),
        Kind::AccessGrant => json!({
            "identityRef": { "name": "agent" },
            "resource": { "host": "api.example.com", "protocol": "HTTPS" },
            "duration": "10m",
        }),
        Kind::CredentialSource => json!({
            "type": "SecretKey",
            "secretKey": { "name": "api", "key": "token" },
            "injection": { "type": "Bearer" },
            "allowedHosts": ["api.example.com"],
        }),
    };
    json!({
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": { "name": "one" },
        "spec": spec,
    })
}

/// `base` with the values at those places (JSON pointers within the spec) put in, or taken out by null.
pub(crate) fn with(kind: Kind, changes: &[(&str, Value)]) -> Value {
    let mut object = good(kind);
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let parent = object["spec"]
            .pointer_mut(parent)
            .expect("the parent is there");
        match (parent, value) {
            (Value::Object(parent), Value::Null) => drop(parent.remove(key)),
            (Value::Object(parent), value) => drop(parent.insert(key.to_owned(), value.clone())),
            (Value::Array(parent), value) => {
                parent[key.parse::<usize>().expect("an index")] = value.clone();
            }
            (other, _) => panic!("{other} has no parts"),
        }
    }
    object
}

fn create(kind: Kind, changes: &[(&str, Value)], verdict: Verdict) -> Case {
    Case {
        kind,
        old: None,
        new: with(kind, changes),
        verdict,
    }
}

/// Every row.
pub(crate) fn all() -> Vec<Case> {
    let mut all = identity::rows();
    all.extend(resource::rows());
    all.extend(host::rows());
    all.extend(lifetime::rows());
    all.extend(change::rows());
    all.extend(credential::rows());
    all
}

const BAD_OBJECT_NAME: &str = "is not the name of an object: use lower-case letters, digits, - and ., and start and end with a letter or digit";
const BAD_LABEL: &str =
    "is not a name: use lower-case letters, digits and -, and start and end with a letter or digit";

//! Rows of credential sources.

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use super::{
    BAD_LABEL, BAD_OBJECT_NAME, Case,
    Verdict::{Accepted, Refused},
    create,
};

pub(super) fn rows() -> Vec<Case> {
    let kind = Kind::CredentialSource;
    let row = |pointer: &str, value: Value, verdict| create(kind, &[(pointer, value)], verdict);
    let bad_host = Refused(
        "spec.allowedHosts[0]",
        "is not a DNS name: write the exact name, for example api.example.com; no address, scheme, port, path or wildcard",
    );
    vec![
        create(kind, &[], Accepted),
        row(
            "/secretKey",
            Value::Null,
            Refused(
                "spec.secretKey",
                "must be set with the type SecretKey, and only then",
            ),
        ),
        row(
            "/secretKey/name",
            json!("API"),
            Refused("spec.secretKey.name", BAD_OBJECT_NAME),
        ),
        row(
            "/secretKey/key",
            json!("a/b"),
            Refused(
                "spec.secretKey.key",
                "is not a key of a secret: use letters, digits, -, _ and .",
            ),
        ),
        row("/allowedHosts/0", json!("*.example.com"), bad_host),
        row("/allowedHosts/0", json!("10.1.2.3"), bad_host),
        row(
            "/allowedConsumers",
            json!({ "namespaces": ["two"], "identities": ["agent"] }),
            Accepted,
        ),
        row(
            "/allowedConsumers",
            json!({ "namespaces": ["T"] }),
            Refused("spec.allowedConsumers.namespaces[0]", BAD_LABEL),
        ),
        row(
            "/allowedConsumers",
            json!({ "identities": ["A"] }),
            Refused("spec.allowedConsumers.identities[0]", BAD_OBJECT_NAME),
        ),
    ]
}

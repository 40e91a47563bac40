//! Rows of what may follow what.

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use super::{
    Case,
    Verdict::{self, Accepted, Refused},
    with,
};

fn update(old: &[(&str, Value)], new: &[(&str, Value)], verdict: Verdict) -> Case {
    let kind = Kind::AccessGrant;
    Case {
        kind,
        old: Some(with(kind, old)),
        new: with(kind, new),
        verdict,
    }
}

pub(super) fn rows() -> Vec<Case> {
    const FIXED: &str = "cannot be changed: write a new AccessGrant";
    let reference = json!({ "name": "one" });
    let end = |hour: u8| ("/notAfter", json!(format!("2030-11-30T{hour:02}:00:00Z")));
    let beginning = |hour: u8| ("/notBefore", json!(format!("2030-11-30T{hour:02}:00:00Z")));
    let without_duration = ("/duration", Value::Null);
    vec![
        update(&[], &[], Accepted),
        update(
            &[],
            &[("/justification", json!({ "text": "more" }))],
            Accepted,
        ),
        update(&[], &[("/revoked", json!(true))], Accepted),
        update(
            &[("/revoked", json!(true))],
            &[],
            Refused(
                "spec.revoked",
                "cannot be set back to false: a revoked grant stays revoked; write a new AccessGrant",
            ),
        ),
        update(
            &[],
            &[("/identityRef/name", json!("other"))],
            Refused("spec.identityRef", FIXED),
        ),
        update(&[], &[("/resource/port", json!(443))], Accepted),
        update(
            &[],
            &[("/resource/port", json!(8443))],
            Refused("spec.resource", FIXED),
        ),
        update(
            &[],
            &[("/resource/host", json!("other.example.com"))],
            Refused("spec.resource", FIXED),
        ),
        update(
            &[],
            &[("/resource/allowPrivate", json!(true))],
            Refused("spec.resource", FIXED),
        ),
        update(
            &[],
            &[("/requires", json!("Image"))],
            Refused("spec.requires", FIXED),
        ),
        update(
            &[("/requires", json!("Image"))],
            &[],
            Refused("spec.requires", FIXED),
        ),
        update(
            &[],
            &[("/credentialRef", reference.clone())],
            Refused("spec.credentialRef", FIXED),
        ),
        update(
            &[("/credentialRef", reference.clone())],
            &[],
            Refused("spec.credentialRef", FIXED),
        ),
        update(
            &[("/credentialRef", reference)],
            &[("/credentialRef", json!({ "name": "two" }))],
            Refused("spec.credentialRef", FIXED),
        ),
        update(
            &[("/maxUses", json!(3))],
            &[("/maxUses", json!(4))],
            Refused("spec.maxUses", FIXED),
        ),
        update(
            &[],
            &[("/maxBytes", json!(4))],
            Refused("spec.maxBytes", FIXED),
        ),
        update(
            &[],
            &[("/duration", json!("20m"))],
            Refused("spec.duration", FIXED),
        ),
        update(
            &[without_duration.clone(), end(18)],
            &[without_duration, end(19)],
            Refused("spec.notAfter", FIXED),
        ),
        update(&[], &[beginning(18)], Refused("spec.notBefore", FIXED)),
        update(
            &[beginning(18)],
            &[beginning(17)],
            Refused("spec.notBefore", FIXED),
        ),
    ]
}

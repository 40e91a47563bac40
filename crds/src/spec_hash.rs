//! The hash by which approvals and records name a spec.

use lanyard_access::digest::Sha256Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The spec has no canonical form.
#[derive(Debug, Error)]
#[error("the spec cannot be written as canonical JSON")]
pub struct SpecHashError(#[from] serde_json::Error);

/// SHA-256 over the canonical JSON (RFC 8785) of `spec`, with every default filled in.
///
/// Anyone who has the object as the API server stores it computes the same: texts stay as they were
/// written, and a field that was left out and has no default is left out here.
pub fn spec_hash<Spec: Serialize>(spec: &Spec) -> Result<Sha256Digest, SpecHashError> {
    let canonical = serde_json_canonicalizer::to_vec(spec)?;
    Ok(Sha256Digest::new(Sha256::digest(canonical).into()))
}

#[cfg(test)]
mod tests {
    use kube::core::cel::apply_defaults;
    use serde_json::{Value, json};

    use super::*;
    use crate::{access_grant::AccessGrant, kind::Kind};

    fn object(spec: &Value) -> Value {
        json!({
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "AccessGrant",
            "metadata": { "name": "agent-api" },
            "spec": spec,
        })
    }

    fn hash_of(spec: &Value) -> Sha256Digest {
        let grant: AccessGrant = serde_json::from_value(object(spec)).unwrap();
        spec_hash(&grant.spec).unwrap()
    }

    #[test]
    fn the_hash_is_that_of_the_spec_as_the_api_server_stores_it() {
        let definition = Kind::AccessGrant.definition();
        let schema = json!(definition.spec.versions[0].schema);
        let spec = json!({
            "notAfter": "2030-11-30T19:00:00.50+01:00",
            "identityRef": { "name": "agent" },
            "resource": { "protocol": "HTTPS", "host": "API.example.com." },
            "credentialRef": { "name": "api-token" },
            "justification": { "text": "\u{e4}" },
        });
        let stored = apply_defaults(&schema["openAPIV3Schema"], &object(&spec));
        assert_eq!(stored["spec"]["resource"]["port"], 443);
        assert_eq!(hash_of(&spec), spec_hash(&stored["spec"]).unwrap());
    }

    #[test]
    fn a_default_that_is_written_out_is_the_same_spec() {
        let short = json!({
            "identityRef": { "name": "agent" },
            "resource": { "host": "api.example.com", "protocol": "HTTPS" },
            "duration": "10m",
        });
        let mut long = short.clone();
        long["revoked"] = json!(false);
        long["resource"]["port"] = json!(443);
        long["resource"]["allowPrivate"] = json!(false);
        assert_eq!(hash_of(&short), hash_of(&long));
        long["resource"]["port"] = json!(8443);
        assert_ne!(hash_of(&short), hash_of(&long));
    }

    /// The digest is what `sha256sum` prints for the line that stands in the test.
    #[test]
    fn the_hash_is_sha256_over_canonical_json() {
        let canonical = r#"{"duration":"10m","identityRef":{"name":"agent"},"resource":{"allowPrivate":false,"host":"api.example.com","port":443,"protocol":"HTTPS"},"revoked":false}"#;
        let spec: Value = serde_json::from_str(canonical).unwrap();
        assert_eq!(
            hash_of(&spec).to_string(),
            "0d42742ee7f7567d9812862ed261a7625a21846f81efb5efbf36a1a1ba5b9e02"
        );
    }
}

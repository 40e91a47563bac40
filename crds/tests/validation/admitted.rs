//! What the API server admits, the rest of Lanyard can read: the rules are no wider than the checked
//! types.

use std::{collections::BTreeMap, sync::LazyLock};

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use lanyard_access::object::Uid;
use lanyard_crds::{
    access_grant::AccessGrant, agent_identity::AgentIdentity, credential_source::CredentialSource,
    field::FieldError, kind::Kind,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::cases::with;

/// Whether the rules admit an object.
fn admits(kind: Kind, object: &Value) -> bool {
    static RULES: LazyLock<BTreeMap<Kind, CompiledSchema>> = LazyLock::new(|| {
        let compiled = Kind::ALL.into_iter().map(|kind| {
            let schema = json!(kind.definition().spec.versions[0].schema);
            (kind, compile_schema(&schema["openAPIV3Schema"]))
        });
        compiled.collect()
    });
    Validator::new()
        .validate_compiled(&RULES[&kind], object, None)
        .is_ok()
}

/// What the checked types find fault with.
fn check(kind: Kind, object: Value) -> Result<(), Vec<FieldError>> {
    let uid = Uid::new("1");
    let form = "the object has the form of its kind";
    match kind {
        Kind::AgentIdentity => {
            let object: AgentIdentity = serde_json::from_value(object).expect(form);
            object.check(uid).map(drop)
        }
        Kind::AccessGrant => {
            let object: AccessGrant = serde_json::from_value(object).expect(form);
            object.check(uid, None).map(drop)
        }
        Kind::CredentialSource => {
            let object: CredentialSource = serde_json::from_value(object).expect(form);
            object.check(uid).map(drop)
        }
    }
}

fn admitted_is_readable(kind: Kind, changes: &[(&str, Value)]) {
    let object = with(kind, changes);
    if admits(kind, &object) {
        assert_eq!(check(kind, object), Ok(()), "{changes:?}");
    }
}

/// Texts that are, or nearly are, hosts, names, paths and durations. Lengths are bounded by the schema,
/// not by rules: all of these are short enough.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z0-9._:-]{1,20}",
        "([a-z0-9-]{1,4}[.]){0,3}[a-z0-9_-]{1,4}[.]?",
        "([0-9]{1,3}[.]){3}[0-9]{1,3}",
        "(::ffff:)?([0-9a-f]{1,4}:){1,7}[0-9a-f]{0,4}",
        "([0-9]{1,3}[.]){3}[0-9]{1,3}/[0-9]{1,2}",
        "(0|1|127|128|169|192|198|224)[.](0|19|128|254)[.]0[.]0/[0-9]{1,2}",
        "(::|8000::|fe80::|ff00::|::8000:0:0|::fffe:0:0|fd6c:616e:7961:7264::)/[0-9]{1,3}",
        "(/[.a-z]{0,3}){1,4}",
        "(/([{}*.;%a-z]{0,3}|[{][a-z_]{1,2}[}]|[*]{1,2})){1,4}",
        "(SEC-|sec-)?(host|te|via|date|x-key|X-KEY)",
        "[A-Z-]{1,4}|TRACE|CONNECT",
        "([0-9]{1,12}(h|m|s|ms)){1,4}",
        "\\PC{1,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn admitted_texts_of_grants_are_readable(text in text()) {
        let kind = Kind::AccessGrant;
        admitted_is_readable(kind, &[("/identityRef/name", json!(text))]);
        admitted_is_readable(kind, &[("/resource/host", json!(text))]);
        admitted_is_readable(kind, &[("/resource/host", json!(text)), ("/resource/protocol", json!("TCP"))]);
        admitted_is_readable(kind, &[("/resource/host", json!(text)), ("/resource/protocol", json!("UDP"))]);
        admitted_is_readable(kind, &[("/resource/host", json!(text)), ("/resource/protocol", json!("HTTP"))]);
        admitted_is_readable(kind, &[("/resource/http", json!([{ "path": text }]))]);
        admitted_is_readable(kind, &[("/resource/http", json!([{ "methods": [text] }]))]);
        let mcp = ("/resource/protocol", json!("MCP"));
        admitted_is_readable(kind, &[mcp.clone(), ("/resource/mcp", json!({ "tools": [text] }))]);
        admitted_is_readable(kind, &[mcp, ("/resource/mcp", json!({ "methods": [text] }))]);
        admitted_is_readable(kind, &[("/duration", json!(text))]);
        admitted_is_readable(kind, &[("/credentialRef", json!({ "name": text }))]);
        admitted_is_readable(kind, &[("/credentialRef", json!({ "name": "one", "namespace": text }))]);
    }

    #[test]
    fn admitted_texts_of_identities_are_readable(text in text()) {
        const PROCESS: &str = "/workloadSelector/processes/0";
        for field in ["name", "executable/path", "executable/sha256"] {
            let pointer = format!("{PROCESS}/{field}");
            admitted_is_readable(Kind::AgentIdentity, &[(&pointer, json!(text))]);
        }
    }

    #[test]
    fn admitted_texts_of_scripts_are_readable(text in text()) {
        const SCRIPT: &str = "/workloadSelector/processes/0/script";
        let digest = "0f".repeat(32);
        for script in [
            json!({ "path": text, "sha256": digest }),
            json!({ "path": "/srv/main.py", "sha256": text }),
        ] {
            admitted_is_readable(Kind::AgentIdentity, &[(SCRIPT, script)]);
        }
    }

    #[test]
    fn admitted_ports_are_readable(port in 1..70_000_u32) {
        if let Ok(port) = u16::try_from(port) {
            admitted_is_readable(Kind::AccessGrant, &[("/resource/port", json!(port))]);
        }
    }

    #[test]
    fn admitted_digests_are_readable(text in "[0-9a-fA-F]{63,65}|[0-9a-f]{64}") {
        let pointer = "/workloadSelector/processes/0/executable/sha256";
        admitted_is_readable(Kind::AgentIdentity, &[(pointer, json!(text))]);
    }

    #[test]
    fn admitted_texts_of_credentials_are_readable(text in text()) {
        let kind = Kind::CredentialSource;
        for field in ["/secretKey/name", "/secretKey/key", "/allowedHosts/0"] {
            admitted_is_readable(kind, &[(field, json!(text))]);
        }
        let header = json!({ "type": "Header", "header": { "name": text, "prefix": text } });
        admitted_is_readable(kind, &[("/injection", header)]);
        let query = json!({ "type": "Query", "query": { "parameter": text } });
        admitted_is_readable(kind, &[("/injection", query)]);
        admitted_is_readable(kind, &[("/allowedConsumers", json!({ "namespaces": [text] }))]);
        admitted_is_readable(kind, &[("/allowedConsumers", json!({ "identities": [text] }))]);
    }
}

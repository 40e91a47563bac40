//! What Argo CD shows of our objects: the health checks of the chart, run by Lua 5.1, which is the language of Argo CD's
//! own interpreter.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail the test, as the test itself does"
)]

use std::{collections::BTreeSet, fs, process::Command};

use lanyard_access::reason::GrantReason;
use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

const CHECKS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../charts/lanyard/argocd/health"
);

/// What a check says: the health, and the message.
fn health(kind: &str, object: &Value) -> (String, String) {
    let program = format!(
        "obj = {}\nlocal found = dofile('{CHECKS}/{kind}.lua')\nprint(found.status)\nprint(found.message)",
        lua(object)
    );
    let output = Command::new("lua5.1")
        .args(["-e", &program])
        .output()
        .expect("Debian's package lua5.1 is needed");
    assert!(output.status.success(), "{kind}: {output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let (status, message) = said.trim_end().split_once('\n').unwrap();
    (status.to_owned(), message.to_owned())
}

/// As Argo CD hands an object over: a missing field is nil.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(lua).collect();
            format!("{{{}}}", items.join(","))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("[{name:?}]={}", lua(value)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// An object whose newest generation is 3, and what was said about `seen`.
fn object(seen: u64, conditions: &[(&str, &str, &str)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(condition, status, reason)| {
            json!({ "type": condition, "status": status, "reason": reason, "message": "why" })
        })
        .collect();
    json!({
        "metadata": { "generation": 3 },
        "status": { "observedGeneration": seen, "conditions": conditions },
    })
}

#[test]
fn every_kind_has_a_check_and_every_check_a_kind() {
    let kinds: BTreeSet<String> = Kind::ALL
        .iter()
        .map(|kind| format!("{}.lua", kind.definition().spec.names.kind))
        .collect();
    let files: BTreeSet<String> = fs::read_dir(CHECKS)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, kinds);
}

#[test]
fn what_nobody_has_read_yet_is_on_its_way() {
    for kind in Kind::ALL {
        let kind = kind.definition().spec.names.kind;
        let ready = ("Ready", "True", "Active");
        for object in [
            json!({ "metadata": { "generation": 1 } }),
            object(2, &[ready]),
            object(3, &[]),
        ] {
            assert_eq!(health(&kind, &object).0, "Progressing", "{kind}: {object}");
        }
        assert_eq!(health(&kind, &object(3, &[ready])).0, "Healthy", "{kind}");
    }
}

#[test]
fn what_is_written_wrongly_is_degraded_and_says_why() {
    for kind in Kind::ALL {
        let kind = kind.definition().spec.names.kind;
        let object = object(
            3,
            &[
                ("Ready", "False", "NotAccepted"),
                ("Accepted", "False", "Invalid"),
            ],
        );
        let expected = ("Degraded".to_owned(), "Invalid: why".to_owned());
        assert_eq!(health(&kind, &object), expected, "{kind}");
    }
}

#[test]
fn two_identities_for_one_process_are_degraded() {
    let conditions = [
        ("Ready", "True", "Attesting"),
        ("Conflicted", "True", "Overlap"),
    ];
    let (status, message) = health("AgentIdentity", &object(3, &conditions));
    assert_eq!(
        (status.as_str(), message.as_str()),
        ("Degraded", "Overlap: why")
    );
}

#[test]
fn a_source_without_its_secret_waits_for_a_person() {
    let of = |reason| {
        health(
            "CredentialSource",
            &object(3, &[("Ready", "False", reason)]),
        )
        .0
    };
    assert_eq!(of("SecretNotFound"), "Degraded");
    assert_eq!(of("Starting"), "Progressing");
}

#[test]
fn the_end_of_a_grant_is_its_normal_course() {
    for reason in GrantReason::ALL {
        let expected = match reason {
            GrantReason::Active
            | GrantReason::Expired
            | GrantReason::UsedUp
            | GrantReason::Revoked => "Healthy",
            GrantReason::NotYetValid | GrantReason::ApprovalPending => "Suspended",
            GrantReason::IdentityNotFound
            | GrantReason::EvidenceUnreachable
            | GrantReason::CredentialNotFound
            | GrantReason::CredentialNotConsented
            | GrantReason::CredentialHostNotAllowed
            | GrantReason::DeniedByPolicy
            | GrantReason::ApprovalRejected
            | GrantReason::RequesterNotAllowed => "Degraded",
            GrantReason::ReviewPending => "Progressing",
        };
        let ready = if *reason == GrantReason::Active {
            "True"
        } else {
            "False"
        };
        let object = object(3, &[("Ready", ready, reason.as_str())]);
        let (status, message) = health("AccessGrant", &object);
        assert_eq!(status, expected, "{reason}");
        assert!(message.starts_with(reason.as_str()), "{message}");
    }
}

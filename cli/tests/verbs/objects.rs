//! `apply`, `get`, `delete` and `suggest`.

use std::{fs, io::Write as _, process::Stdio};

use lanyard_protocol::control::{
    Apply, Changed, Delete, Get, Manifest, ObjectChange, ObjectName, ObjectStatus, Objects,
    Refused, Suggest, SuggestedGrant, Suggestion, reply::Reply, request::Verb,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake::{FakeNodeAgent, lanyard, text};

fn answering(reply: Reply) -> FakeNodeAgent<Verb> {
    FakeNodeAgent::start(move |mut asked| {
        asked.answer(reply);
        asked.verb
    })
}

fn changed(change: &str) -> Reply {
    Reply::Changed(Changed {
        objects: vec![ObjectChange {
            kind: "AccessGrant".into(),
            name: "default/read".into(),
            change: change.into(),
        }],
    })
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, content) in [("b.yaml", "b"), ("a.yml", "a"), ("c.txt", "c")] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

#[test]
fn what_is_applied_is_sent_as_it_is_and_each_change_is_told() {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    let (output, verb) = answering(changed("created")).when(&["apply", "-f", path]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout), "AccessGrant default/read created\n");
    let Verb::Apply(Apply { manifests }) = verb else {
        panic!("{verb:?}");
    };
    let manifest = |name: &str, text: &str| Manifest {
        name: format!("{path}/{name}"),
        text: text.into(),
    };
    assert_eq!(manifests, [manifest("a.yml", "a"), manifest("b.yaml", "b")]);
}

#[test]
fn standard_input_is_applied_and_told_as_json() {
    let fake = answering(changed("unchanged"));
    let mut child = fake
        .command()
        .args(["apply", "-f", "-", "-o", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"kind: X").unwrap();
    let output = child.wait_with_output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!([{"kind": "AccessGrant", "name": "default/read", "change": "unchanged"}]);
    assert_eq!(found, expected);
    let Verb::Apply(Apply { manifests }) = fake.end() else {
        panic!("another verb");
    };
    assert_eq!(manifests[0].name, "standard input");
    assert_eq!(manifests[0].text, "kind: X");
}

#[test]
fn a_refusal_names_every_problem_and_is_a_failure() {
    let refused = Reply::Refused(Refused {
        message: "nothing was applied:\na.yaml:3:7: spec.host: is missing".into(),
        hint: String::new(),
    });
    let folder = folder();
    let path = folder.path().join("a.yml");
    let (output, _) = answering(refused).when(&["apply", "-f", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("\na.yaml:3:7: spec.host: is missing\n"));
}

#[test]
fn a_file_that_is_not_there_is_a_failure_before_anybody_is_asked() {
    let output = lanyard()
        .args(["apply", "-f", "/no/such/file.yaml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/no/such/file.yaml cannot be read"));
}

#[test]
fn an_object_is_deleted_by_kind_and_name_or_by_its_manifest() {
    let (output, verb) = answering(changed("deleted")).when(&["delete", "agrant", "read"]);
    assert_eq!(text(&output.stdout), "AccessGrant default/read deleted\n");
    let named = ObjectName {
        kind: "AccessGrant".into(),
        name: "default/read".into(),
    };
    assert_eq!(
        verb,
        Verb::Delete(Delete {
            objects: vec![named],
            manifests: Vec::new(),
        })
    );

    let folder = folder();
    let path = folder.path().join("a.yml");
    let words = ["delete", "-f", path.to_str().unwrap()];
    let (_, verb) = answering(changed("deleted")).when(&words);
    let Verb::Delete(Delete { objects, manifests }) = verb else {
        panic!("{verb:?}");
    };
    assert!(objects.is_empty());
    assert_eq!(manifests[0].text, "a");
}

#[test]
fn half_of_what_is_to_be_deleted_is_wrong_usage() {
    for words in [
        &["delete"][..],
        &["delete", "AccessGrant"],
        &["delete", "Secret", "read"],
        &["delete", "AccessGrant", "read", "-f", "a.yaml"],
        &["apply"],
    ] {
        let output = lanyard().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

fn objects() -> Reply {
    let grant = json!({
        "apiVersion": "lanyard.dev/v1alpha1",
        "kind": "AccessGrant",
        "metadata": {"name": "read"},
        "spec": {"revoked": false},
    });
    let identity = json!({"kind": "AgentIdentity", "metadata": {"name": "bot"}});
    Reply::Objects(Objects {
        objects: vec![
            ObjectStatus {
                kind: "AccessGrant".into(),
                name: "default/read".into(),
                json: grant.to_string(),
                reason: "Active".into(),
                ends_at: "2026-11-26T12:00:00Z".into(),
                left_millis: 61_000,
                ..ObjectStatus::default()
            },
            ObjectStatus {
                kind: "AgentIdentity".into(),
                name: "default/bot".into(),
                file: "/m/bot.yaml".into(),
                json: identity.to_string(),
                ..ObjectStatus::default()
            },
        ],
    })
}

#[test]
fn objects_are_shown_with_their_standing_and_where_they_come_from() {
    let (output, verb) = answering(objects()).when(&["get"]);
    assert_eq!(verb, Verb::Get(Get::default()));
    assert_eq!(
        text(&output.stdout),
        "\
KIND           NAME          STANDING  LEFT   ENDS                  FROM
AccessGrant    default/read  Active    1m 1s  2026-11-26T12:00:00Z  lanyard apply
AgentIdentity  default/bot   -         -      -                     /m/bot.yaml
"
    );
}

#[test]
fn objects_are_printed_whole_as_yaml_and_as_a_list() {
    let (output, _) = answering(objects()).when(&["get", "-o", "yaml"]);
    let found = text(&output.stdout);
    assert!(found.contains("kind: AccessGrant\n"), "{found}");
    assert!(found.contains("metadata:\n  name: read\n"), "{found}");
    assert!(found.contains("\n---\nkind: AgentIdentity\n"), "{found}");

    let (output, _) = answering(objects()).when(&["get", "-o", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["kind"], "List");
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
}

#[test]
fn one_object_is_asked_for_by_its_full_name_and_is_no_list() {
    let Reply::Objects(mut one) = objects() else {
        unreachable!()
    };
    one.objects.truncate(1);
    let words = ["get", "accessgrants", "read", "-o", "json"];
    let (output, verb) = answering(Reply::Objects(one)).when(&words);
    assert_eq!(
        verb,
        Verb::Get(Get {
            kind: "AccessGrant".into(),
            name: "default/read".into(),
        })
    );
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["metadata"]["name"], "read");
}

fn suggestion() -> Reply {
    Reply::Suggestion(Suggestion {
        yaml: "# seen\nkind: AccessGrant\n".into(),
        grants: vec![SuggestedGrant {
            json: r#"{"kind":"AccessGrant"}"#.into(),
            comment: "seen".into(),
        }],
        remarks: vec!["a raw socket".into()],
    })
}

#[test]
fn suggestions_are_manifests_or_a_document() {
    let words = ["suggest", "--as", "bot"];
    let (output, verb) = answering(suggestion()).when(&words);
    let asked = Suggest {
        agent: "default/bot".into(),
    };
    assert_eq!(verb, Verb::Suggest(asked));
    assert_eq!(text(&output.stdout), "# seen\nkind: AccessGrant\n");

    let words = ["suggest", "--as", "bot", "-o", "json"];
    let (output, _) = answering(suggestion()).when(&words);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let grant = json!({"grant": {"kind": "AccessGrant"}, "comment": "seen"});
    assert_eq!(
        found,
        json!({"grants": [grant], "remarks": ["a raw socket"]})
    );
}

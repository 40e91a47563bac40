//! Promise 5, as far as it goes today: every request has its intent and its outcome in the record, with
//! the process, the grant and the credential, and no secret.

use std::fs;

use lanyard_e2e::scenes::{Stage, TOKEN};

#[test]
fn a_request_is_recorded_before_and_after_with_who_and_under_what() {
    let stage = Stage::set().unwrap();
    let url = format!("{}?secret=in-the-query", stage.url("/"));
    assert!(stage.curl(&[&url]).output().unwrap().status.success());
    let ended = stage.lanyard.until_all_ended().unwrap();
    let [outcome] = &ended[..] else {
        panic!("{ended:?}")
    };
    let records = stage.lanyard.records().unwrap();
    let mut intents = records
        .iter()
        .filter(|record| record["event"] == "RequestIntended");
    let (Some(intent), None) = (intents.next(), intents.next()) else {
        panic!("{records:?}")
    };
    assert_eq!(intent["format"], 1);
    assert_eq!(intent["scope"]["agent"], "default/bot");
    assert_eq!(intent["process"]["path"], stage.curl.display().to_string());
    assert_eq!(intent["process"]["level"], "Image");
    assert_eq!(intent["grant"]["key"], "default/api");
    assert_eq!(intent["credential"], "default/token");
    assert_eq!(intent["request"]["path"], "/", "the query is not recorded");
    assert_eq!(outcome["intent"], intent["id"]);
    assert_eq!(
        (&outcome["status"], &outcome["outcome"]),
        (&200.into(), &"Completed".into())
    );
    let ids: Vec<&str> = records
        .iter()
        .map(|record| record["id"].as_str().unwrap())
        .collect();
    assert!(ids.is_sorted(), "ids are in the order of writing");
    let file = fs::read_to_string(stage.lab.path("state/record.jsonl")).unwrap();
    assert!(!file.contains(TOKEN) && !file.contains("in-the-query"));
}

#[test]
fn a_refusal_is_recorded_and_explained_by_its_id() {
    let stage = Stage::set().unwrap();
    let refused = stage
        .curl(&["--max-time", "15", "https://nothing.demo.test/"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let records = stage.lanyard.records().unwrap();
    let record = records
        .iter()
        .find(|record| record["event"] == "NameRefused")
        .unwrap();
    let id = record["id"].as_str().unwrap();
    let output = stage.lanyard.command(&["explain", id]).output().unwrap();
    let explained = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        explained.contains("nothing.demo.test") && explained.contains("kind: AccessGrant"),
        "{explained}"
    );
}

//! `explain` of what has not happened, `doctor` and the manual pages.

use std::fs;

use lanyard_protocol::control::{
    Attempt, Explain, Explanation, explain::What, reply::Reply, request::Verb,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::fake::{FakeNodeAgent, lanyard, nobody, text};

#[test]
fn what_would_happen_is_asked_by_agent_and_url() {
    for (url, host, port, protocol, path) in [
        (
            "https://api.example.com/v1?q=x",
            "api.example.com",
            443,
            "HTTPS",
            "/v1?q=x",
        ),
        ("http://api.example.com", "api.example.com", 80, "HTTP", ""),
        ("tcp://192.0.2.7:5432", "192.0.2.7", 5432, "TCP", ""),
        ("udp://[2001:db8::1]:5000", "2001:db8::1", 5000, "UDP", ""),
    ] {
        let fake = FakeNodeAgent::start(|mut asked| {
            asked.answer(Reply::Explanation(Explanation {
                summary: "It would be allowed.".into(),
                ..Explanation::default()
            }));
            asked.verb
        });
        let (output, verb) = fake.when(&["explain", "--as", "bot", url]);
        assert_eq!(text(&output.stdout), "It would be allowed.\n");
        let attempt = Attempt {
            agent: "default/bot".into(),
            host: host.into(),
            port,
            protocol: protocol.into(),
            method: if path.is_empty() { "" } else { "GET" }.into(),
            path: path.into(),
        };
        let what = Some(What::Attempt(attempt));
        assert_eq!(verb, Verb::Explain(Explain { what }));
    }
}

#[test]
fn a_url_without_an_agent_an_agent_without_a_url_and_no_url_are_refused() {
    for (words, code) in [
        (&["explain", "--as", "bot"][..], 2),
        (
            &["explain", "--as", "bot", "--last", "https://a.example/"],
            2,
        ),
        (&["explain", "--as", "bot", "ftp://a.example/"], 1),
        (&["explain", "--as", "bot", "tcp://192.0.2.7"], 1),
    ] {
        let output = lanyard().args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    }
}

/// On any machine, whoever asks: what it says depends on the machine, its form does not.
#[test]
fn a_doctor_needs_no_node_agent_and_its_status_is_what_is_missing() {
    let (_folder, path) = nobody();
    let doctor = |words: &[&str]| {
        lanyard()
            .env("LANYARD_RUN_DIR", &path)
            .arg("doctor")
            .args(words)
            .output()
            .unwrap()
    };
    let output = doctor(&["-o", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = found["findings"].as_array().unwrap();
    let about = |name: &str| findings.iter().find(|finding| finding["about"] == name);
    for name in [
        "kernel",
        "cgroup v2",
        "Landlock",
        "unix socket hooks",
        "root",
    ] {
        assert!(about(name).is_some(), "{name} is missing in {found}");
    }
    assert_eq!(about("node agent").unwrap()["says"], "none runs");
    let is_missing = findings.iter().any(|finding| finding["state"] == "missing");
    assert_eq!(output.status.code(), Some(i32::from(is_missing)));
    let page = doctor(&[]);
    assert!(text(&page.stdout).starts_with("Tier: "), "{page:?}");
    assert_eq!(page.status.code(), output.status.code());
}

#[test]
fn every_verb_that_is_typed_has_a_manual_page() {
    let folder = TempDir::new().unwrap();
    let output = lanyard().arg("man").arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("lanyard.1").contains("lanyard\\-apply(1)"));
    assert!(page("lanyard-audit-tail.1").contains("lanyard audit tail"));
    assert!(page("lanyard-apply.1").contains("standard input"));
    assert!(!folder.path().join("lanyard-session.1").exists());
    let nowhere = lanyard().args(["man", "/no/such/folder"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(1));
}

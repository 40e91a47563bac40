//! The official conformance suite of MCP says the same of a server with the broker on the way as without: scenario by
//! scenario and check by check, in both generations of the protocol.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use lanyard_e2e::{
    counterparts::{self, CONFORMANCE, CONFORMANCE_IN_THE_CLEAR},
    grant::NamedGrant,
    peers,
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
};
use serde_json::Value;

/// What each scenario found: its checks, with what came of them.
type Found = BTreeMap<String, Vec<(String, String)>>;

/// One server, which demands the token where the broker speaks with it, and is open elsewhere: the suite has no token.
fn stage() -> (Stage, counterparts::Running) {
    let stage = Stage::with_tools().unwrap();
    let server = counterparts::conformance(&stage.lab, TOKEN).unwrap();
    let grant = NamedGrant {
        port: CONFORMANCE,
        protocol: "MCP",
        resource: vec!["http: [{ path: /mcp }]".to_owned()],
        ..stage.grant("mcp")
    };
    stage.give(&grant).unwrap();
    (stage, server)
}

/// Every scenario that a revision of the protocol demands of a server, and those that it does not score.
fn suite(url: &str, revision: &str, results: &Path) -> Vec<String> {
    let [node, suite] = peers::conformance_suite().unwrap();
    let text = |path: &Path| path.display().to_string();
    let (node, suite, results) = (text(&node), text(&suite), text(results));
    let said = [
        "server",
        "--url",
        url,
        "--requirements",
        revision,
        "-o",
        &results,
    ];
    [node, suite]
        .into_iter()
        .chain(said.map(str::to_owned))
        .collect()
}

/// A folder for each scenario, named for it and the time.
fn found(results: &Path, said: &str) -> Found {
    let listing = fs::read_dir(results).unwrap_or_else(|error| panic!("{error}: {said}"));
    let scenarios = listing.map(|entry| {
        let folder = entry.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let time = name.len() - "-2026-07-28T00-00-00-000Z".len();
        let checks = fs::read(folder.path().join("checks.json")).unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&checks).unwrap();
        let word =
            |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
        let checks = checks
            .iter()
            .map(|check| (word(check, "id"), word(check, "status")));
        (name[..time].to_owned(), checks.collect())
    });
    scenarios.collect()
}

fn is_the_same(revision: &str, passed: usize) {
    let (stage, _server) = stage();
    let directly = stage.lab.path("directly");
    let url = format!(
        "http://{}:{CONFORMANCE_IN_THE_CLEAR}/mcp",
        stage.lab.address()
    );
    let command = suite(&url, revision, &directly);
    // It fails where the server lacks something, and where a scenario is for localhost alone: that is not the
    // question here.
    let output = Command::new(&command[0])
        .args(&command[1..])
        .output()
        .unwrap();
    let without = found(&directly, &String::from_utf8_lossy(&output.stderr));

    let brokered = stage.lanyard.project(Some(USER)).join("brokered");
    let url = format!("https://{NAME}:{CONFORMANCE}/mcp");
    let command = suite(&url, revision, &brokered);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &command)
        .output()
        .unwrap();
    let with = found(&brokered, &String::from_utf8_lossy(&output.stderr));

    let names = |found: &Found| found.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(&with),
        names(&without),
        "{}",
        stage.lanyard.daemon_log()
    );
    let differing: Vec<_> = without
        .iter()
        .filter(|(name, checks)| with.get(*name) != Some(checks))
        .map(|(name, checks)| format!("{name}:\n  without {checks:?}\n  with {:?}", with[name]))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    let is_good = |checks: &&Vec<(String, String)>| {
        !checks.is_empty() && !checks.iter().any(|(_, status)| status == "FAILURE")
    };
    let good = with.values().filter(is_good).count();
    assert!(good >= passed, "{good} of {} passed", with.len());
}

#[test]
fn with_sessions() {
    is_the_same("2025-11-25", 30);
}

#[test]
fn without_sessions() {
    is_the_same("2026-07-28", 30);
}

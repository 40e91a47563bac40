//! Where a credential comes from: a source that fails, and one whose secret is another by now. And the one way in
//! which it goes into a request that no other file has, with a real service.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::time::Duration;

use lanyard_e2e::{
    counterparts,
    forms::Forms,
    grant::{NamedGrant, credential},
    scenes::{SCRIPTED, Stage, TOKEN, TOOLS, USER},
    service::{GREETING, NAME},
    wait,
};
use serde_json::Value;

/// A stage with a grant of the tools whose credential is put in so.
fn stage(port: u16, source: &[&str], injection: &str) -> Stage {
    let stage = Stage::with_tools().unwrap();
    let source = credential("scripted", source, &[injection], &[NAME]);
    stage.lab.write("manifests/scripted.yaml", source).unwrap();
    let grant = NamedGrant {
        port,
        credential: Some("scripted"),
        ..stage.grant("tools-api")
    };
    stage.give(&grant).unwrap();
    stage
}

/// What came, its head as well.
fn ask(stage: &Stage, url: &str) -> String {
    let curl = ["curl", "-sS", "--http1.1", "--include", url];
    let output = stage.lanyard.run_as(TOOLS, Some(USER), &curl).output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = Forms::of(TOKEN).found_in(text.as_bytes());
    assert!(found.is_empty(), "{found:?}: {text}");
    text
}

/// It prints its secret all the same, and says more where errors go.
#[test]
fn a_source_that_fails_is_named_and_nothing_that_it_said_until_it_mends_itself() {
    let stage = stage(443, &SCRIPTED, "type: Bearer");
    let failing = format!("echo {TOKEN}; echo mumbled {TOKEN} >&2; exit 3");
    stage.source(&failing).unwrap();
    let reply = ask(&stage, &stage.url("/"));
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert!(!reply.contains("mumbled"), "{reply}");
    let (_, problem) = reply.split_once("\r\n\r\n").unwrap();
    let problem: Value = serde_json::from_str(problem).unwrap();
    assert_eq!(problem["status"], 503, "{problem}");
    assert_eq!(problem["reason"], "CredentialUnavailable", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("default/scripted"), "{detail}");
    assert_eq!(stage.service.requests().unwrap(), [""; 0]);
    // Whoever looks after it learns why, and not what it printed either.
    let log = stage.lanyard.daemon_log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("exit")).collect();
    assert!(!said.is_empty(), "{log}");
    assert!(!log.contains("mumbled"), "{log}");
    let found = Forms::of(TOKEN).found_in(log.as_bytes());
    assert!(found.is_empty(), "{found:?}: {log}");

    stage.source(&format!("echo {TOKEN}")).unwrap();
    // It is left alone for a moment once it has failed.
    wait::until("it is asked again", Duration::from_secs(20), || {
        let reply = ask(&stage, &stage.url("/"));
        let is_left_alone = reply.starts_with("HTTP/1.1 503");
        assert!(is_left_alone || reply.contains(GREETING), "{reply}");
        Ok((!is_left_alone).then_some(()))
    })
    .unwrap();
}

/// What a service does not accept is obtained anew, once, and the request made again.
#[test]
fn a_secret_that_the_service_does_not_accept_is_obtained_anew_once() {
    let stage = stage(443, &SCRIPTED, "type: Bearer");
    stage.source("echo of-yesterday-0123456789").unwrap();
    let statuses = || -> Vec<String> {
        let arrived = stage.service.requests().unwrap();
        let status = |line: &String| {
            let old = line.contains("of-yesterday");
            let status = line.rsplit(' ').nth(1).unwrap();
            format!("{} {status}", if old { "old" } else { "new" })
        };
        arrived.iter().map(status).collect()
    };
    let refused = ask(&stage, &stage.url("/"));
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    // While it is new, nobody asks for a newer one.
    stage.source(&format!("echo {TOKEN}")).unwrap();
    wait::until("it is obtained anew", Duration::from_secs(20), || {
        let reply = ask(&stage, &stage.url("/"));
        let is_refused = reply.starts_with("HTTP/1.1 401");
        assert!(is_refused || reply.contains(GREETING), "{reply}");
        Ok((!is_refused).then_some(()))
    })
    .unwrap();
    let all = statuses();
    let (before, last) = all.split_at(all.len() - 2);
    assert!(before.iter().all(|status| status == "old 401"), "{all:?}");
    assert_eq!(
        last,
        ["old 401", "new 200"],
        "the client saw the second alone"
    );
}

/// As a parameter of the query, with those of the client left and its own of that name taken out.
#[test]
fn a_query_parameter_is_put_in_for_a_real_service_and_comes_back_masked() {
    let stage = stage(
        8445,
        &SCRIPTED,
        "type: Query\n    query: { parameter: key }",
    );
    stage.source(&format!("echo {TOKEN}")).unwrap();
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let url = format!("https://{NAME}:8445/queried?a=1&key=own&b=2");
    let reply = ask(&stage, &url);
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert!(!reply.contains("own"), "{reply}");
    assert!(reply.contains("a=1") && reply.contains("b=2"), "{reply}");
    let masked = format!("key={}", "*".repeat(TOKEN.len()));
    assert!(reply.contains(&masked), "{reply}");
}

//! The verbs that ask and print.

use lanyard_access::reason::RefusalReason;
use lanyard_protocol::{
    control::{
        AgentStatus, Done, Explanation, GrantStatus, Refused, Revoked, Status, explain::What,
        reply::Reply, request::Verb,
    },
    record::{Event, FORMAT, Process, Record, Request, ScopeRef},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fake::{Asked, FakeNodeAgent, lanyard, nobody, text};

/// Answers what is asked with `reply`, and returns what was asked.
fn answering(reply: Reply) -> FakeNodeAgent<Verb> {
    FakeNodeAgent::start(move |mut asked| {
        asked.answer(reply);
        asked.verb
    })
}

fn status() -> Status {
    Status {
        node: "local".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        map_abi: 3,
        agents: vec![AgentStatus {
            agent: "default/bot".into(),
            spiffe_id: "spiffe://local/ns/default/agent/bot".into(),
            processes_listed: 1,
            enforcement: "Enforce".into(),
        }],
        grants: vec![GrantStatus {
            grant: "default/read".into(),
            agent: "default/bot".into(),
            host: "api.example".into(),
            port: 443,
            protocol: "Https".into(),
            reason: "Active".into(),
            ends_at: String::new(),
            left_millis: 1500,
        }],
        ..Status::default()
    }
}

#[test]
fn status_is_a_stable_document() {
    let fake = answering(Reply::Status(status()));
    let (output, verb) = fake.when(&["status", "-o", "json"]);
    assert!(matches!(verb, Verb::Status(_)), "{verb:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "format": 1,
        "node": "local",
        "nodeAgentVersion": env!("CARGO_PKG_VERSION"),
        "mapAbi": 3,
        "agents": [{
            "agent": "default/bot",
            "spiffeId": "spiffe://local/ns/default/agent/bot",
            "enforcement": "Enforce",
            "processesListed": 1,
        }],
        "scopes": [],
        "grants": [{
            "grant": "default/read",
            "agent": "default/bot",
            "host": "api.example",
            "port": 443,
            "protocol": "Https",
            "reason": "Active",
            "endsAt": null,
            "leftMillis": 1500,
        }],
        "problems": [],
        "counters": {},
    });
    assert_eq!(found, expected);
}

#[test]
fn status_for_people_shows_the_time_left() {
    let (output, _) = answering(Reply::Status(status())).when(&["status"]);
    assert!(output.status.success());
    assert!(
        text(&output.stdout).contains("Active    1.5s"),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_node_agent_of_another_version_is_warned_of() {
    let status = Status {
        version: "99.0.0".into(),
        ..status()
    };
    let (output, _) = answering(Reply::Status(status)).when(&["status"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).starts_with("warning: the node agent is version 99.0.0"));
}

#[test]
fn an_answer_that_is_not_understood_is_a_failure() {
    let (output, _) = answering(Reply::Done(Done {})).when(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("hint: this is lanyard"),
        "{output:?}"
    );
}

#[test]
fn the_version_tells_the_map_abi_when_someone_knows_it() {
    let (output, _) = answering(Reply::Status(status())).when(&["--version"]);
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "lanyard   {version}\n\
         map ABI   3 (node agent {version} of node local)\n\
         protocol  1\n\
         API       lanyard.dev/v1alpha1\n"
    );
    assert_eq!(text(&output.stdout), expected);
    let (_guard, folder) = nobody();
    let output = lanyard()
        .arg("--version")
        .env("LANYARD_RUN_DIR", &folder)
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("map ABI   unknown: no node agent runs here"));
}

#[test]
fn revoke_says_whether_the_grant_was_live() {
    for (was_live, told) in [
        (true, "it was live until now"),
        (false, "it gave no access before"),
    ] {
        let fake = answering(Reply::Revoked(Revoked {
            grant: "default/read".into(),
            was_live,
        }));
        let (output, verb) = fake.when(&["revoke", "read"]);
        assert_eq!(
            text(&output.stdout),
            format!("revoked default/read: {told}\n")
        );
        let Verb::Revoke(revoke) = verb else {
            panic!("{verb:?}")
        };
        assert_eq!(revoke.grant, "default/read");
    }
    let fake = answering(Reply::Revoked(Revoked {
        grant: "default/read".into(),
        was_live: true,
    }));
    let (output, _) = fake.when(&["revoke", "read", "-o", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found, json!({"grant": "default/read", "wasLive": true}));
}

#[test]
fn a_refused_revoke_fails() {
    let fake = answering(Reply::Refused(Refused {
        message: "no grant default/read".into(),
        hint: String::new(),
    }));
    let (output, _) = fake.when(&["revoke", "read"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: no grant default/read\n");
}

fn explained(words: &[&str]) -> (String, What) {
    let fake = answering(Reply::Explanation(Explanation {
        record: record(),
        summary: "curl was refused".into(),
        ..Explanation::default()
    }));
    let (output, verb) = fake.when(words);
    assert!(output.status.success(), "{output:?}");
    let Verb::Explain(explain) = verb else {
        panic!("{verb:?}")
    };
    (text(&output.stdout).to_owned(), explain.what.unwrap())
}

#[test]
fn explain_is_about_the_last_refusal_or_the_event_that_is_named() {
    for words in [["explain"].as_slice(), &["explain", "--last"]] {
        assert_eq!(
            explained(words),
            ("curl was refused\n".into(), What::Last(true))
        );
    }
    let (_, what) = explained(&["explain", "0193"]);
    assert_eq!(what, What::Id("0193".into()));
    let (shown, _) = explained(&["explain", "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["record"]["event"], "RequestRefused");
}

fn record() -> String {
    let record = Record {
        format: FORMAT,
        id: Uuid::nil(),
        at: "2026-11-25T12:00:00Z".parse().unwrap(),
        node: "local".into(),
        event: Event::RequestRefused {
            scope: ScopeRef {
                name: "1".into(),
                agent: "default/bot".parse().unwrap(),
                uid: 1000,
            },
            process: Process {
                pid: 7,
                exec_id: 1,
                path: Some("/usr/bin/curl".into()),
                sha256: None,
                level: None,
                reason: None,
            },
            request: Request {
                method: "GET".into(),
                host: "api.example".parse().unwrap(),
                port: 443,
                path: "/".into(),
                mcp: None,
            },
            reason: RefusalReason::NoGrant,
        },
    };
    serde_json::to_string(&record).unwrap()
}

fn tailing(records: Vec<String>) -> FakeNodeAgent<Verb> {
    FakeNodeAgent::start(move |mut asked: Asked| {
        for record in records {
            asked.answer(Reply::Record(record));
        }
        asked.answer(Reply::Done(Done {}));
        asked.verb
    })
}

#[test]
fn tail_shows_one_line_a_record() {
    let fake = tailing(vec![record(), record()]);
    let (output, verb) = fake.when(&["audit", "tail", "-n", "2"]);
    let line = "2026-11-25T12:00:00.000Z  refused  default/bot           /usr/bin/curl[7]  \
                GET api.example:443/  reason=NoGrant\n";
    assert_eq!(text(&output.stdout), line.repeat(2));
    assert!(output.status.success());
    let Verb::Tail(tail) = verb else {
        panic!("{verb:?}")
    };
    assert_eq!((tail.past, tail.follow), (2, false));
}

#[test]
fn tail_for_programs_shows_records_untouched() {
    let odd = r#"{ "format":9,  "b":1,"a":2 }"#.to_owned();
    let fake = tailing(vec![record(), odd.clone()]);
    let (output, verb) = fake.when(&["audit", "tail", "--follow", "-o", "json"]);
    assert_eq!(text(&output.stdout), format!("{}\n{odd}\n", record()));
    assert!(matches!(verb, Verb::Tail(tail) if tail.follow && tail.past == 10));
}

#[test]
fn tail_refuses_a_format_it_does_not_know() {
    let fake = answering(Reply::Record(r#"{"format":9}"#.into()));
    let (output, _) = fake.when(&["audit", "tail"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("a record has format 9"),
        "{output:?}"
    );
}

#[test]
fn a_socket_that_nobody_serves_is_told_from_none() {
    let (_guard, folder) = nobody();
    std::fs::create_dir(folder.join("n")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.join("n/control.sock")).unwrap());
    let told = |node: &str| {
        let mut command = lanyard();
        command
            .args(["status", "--node", node])
            .env("LANYARD_RUN_DIR", &folder);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).to_owned()
    };
    assert!(told("n").starts_with("error: the node agent of node `n` does not answer"));
    assert!(told("other").starts_with("error: no node agent runs here for node `other`"));
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = lanyard().args(["completions", shell]).output().unwrap();
        assert!(output.status.success());
        let script = text(&output.stdout);
        assert!(
            script.contains("explain") && script.contains("run-dir"),
            "{shell}"
        );
        assert!(!script.contains("session"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let many = vec![record(); 5000];
    let fake = FakeNodeAgent::start(move |mut asked: Asked| {
        // The command leaves before all is sent, so that sending may fail.
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for record in many {
                asked.answer(Reply::Record(record));
            }
        }));
        drop(sent);
    });
    let mut child = fake
        .command()
        .args(["audit", "tail", "-n", "5000"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stderr), "");
    fake.end();
}

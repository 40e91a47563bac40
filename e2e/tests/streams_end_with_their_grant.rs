//! Promise 3 by the broker: what is open under a grant ends with it, and with it alone. Streams of HTTP/2 that share
//! a connection of the client end one by one, and tunnels as requests do.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use lanyard_e2e::{
    counterparts,
    dialogue::Dialogue,
    grant::NamedGrant,
    ledger::{self, Ledger},
    scenes::{Stage, TOKEN, TOOLS},
    service::NAME,
};

/// A stage with two grants for one host and port: `first` for what is below `/first/`, `second` likewise.
fn stage(port: u16, first: &str, second: &str) -> Stage {
    let stage = Stage::with_tools().unwrap();
    for (name, duration) in [("second", second), ("first", first)] {
        let grant = NamedGrant {
            port,
            resource: vec!["http:".into(), format!("  - path: /{name}/**")],
            ..stage.grant(name)
        };
        let yaml = grant
            .yaml()
            .replace("duration: 1h", &format!("duration: {duration}"));
        let file = format!("manifests/{name}.yaml");
        stage.lab.write(&file, yaml).unwrap();
        stage
            .lanyard
            .until_live(&format!("default/{name}"))
            .unwrap();
    }
    stage
}

fn start(stage: &Stage, script: &str, arguments: &[&str]) -> Dialogue {
    Dialogue::with_peer(stage, TOOLS, script, arguments).unwrap()
}

fn until_ended(stage: &Stage, path: &str, outcome: &str) {
    assert_eq!(stage.lanyard.until_ended(path).unwrap(), outcome, "{path}");
}

#[test]
fn of_streams_on_one_connection_only_those_of_the_ended_grant_are_cut() {
    let stage = stage(ledger::PORT, "12s", "1h");
    let _ledger = Ledger::open(&stage.lab).unwrap();
    let mut client = start(&stage, "streams.py", &[NAME, &ledger::PORT.to_string()]);
    assert_eq!(client.ask("open /first/large").unwrap(), "1 200");
    assert_eq!(client.ask("open /second/large").unwrap(), "3 200");
    assert_eq!(
        client.ask("end 1").unwrap(),
        "reset",
        "{}",
        stage.lanyard.daemon_log()
    );
    stage
        .lanyard
        .until_standing("default/first", "Expired")
        .unwrap();
    until_ended(&stage, "/first/large", "CutByGrantEnd");
    for _ in 0..5 {
        let more = client.ask("more 3").unwrap();
        assert!(more.parse::<u64>().is_ok_and(|more| more > 0), "{more}");
    }
    assert!(client.ask("get /second/a").unwrap().starts_with("200 "));
    let refused = client.ask("get /first/a").unwrap();
    assert!(refused.starts_with("403 "), "{refused}");
    // Now the other one, by a person.
    stage.lanyard.revoke("default/second").unwrap();
    let end = client.ask("end 3").unwrap();
    assert!(end == "reset" || end == "cut", "{end}");
    until_ended(&stage, "/second/large", "CutByGrantEnd");
}

/// A client that takes nothing keeps nothing open, and gets nothing afterwards.
#[test]
fn a_stream_that_stands_still_is_cut_too_and_nothing_of_it_comes_later() {
    let stage = stage(ledger::PORT, "1h", "1h");
    let _ledger = Ledger::open(&stage.lab).unwrap();
    let mut client = start(&stage, "streams.py", &[NAME, &ledger::PORT.to_string()]);
    assert_eq!(client.ask("stall /first/large").unwrap(), "1 65535");
    assert_eq!(client.ask("open /second/large").unwrap(), "3 200");
    stage.lanyard.revoke("default/first").unwrap();
    until_ended(&stage, "/first/large", "CutByGrantEnd");
    let late = client.ask("late 1").unwrap();
    assert_eq!(late, "0", "bytes came after the end");
    let end = client.ask("end 1").unwrap();
    assert!(end == "reset" || end == "cut", "{end}");
}

/// Two tunnels of one process, each under a grant of its own.
#[test]
fn a_tunnel_ends_with_its_grant_and_another_goes_on() {
    let stage = stage(8444, "12s", "1h");
    let _server = counterparts::python(&stage.lab, TOKEN).unwrap();
    let mut client = start(&stage, "tunnels.py", &[NAME]);
    for path in ["/first/chat", "/second/chat"] {
        assert_eq!(client.ask(&format!("open {path}")).unwrap(), "open");
        assert_eq!(client.ask(&format!("send {path}")).unwrap(), "heard hello");
    }
    assert_eq!(
        client.ask("wait /first/chat").unwrap(),
        "cut",
        "{}",
        stage.lanyard.daemon_log()
    );
    stage
        .lanyard
        .until_standing("default/first", "Expired")
        .unwrap();
    until_ended(&stage, "/first/chat", "CutByGrantEnd");
    assert_eq!(client.ask("send /second/chat").unwrap(), "heard hello");
    assert!(client.ask("open /first/again").unwrap().contains("403"));
    stage.lanyard.revoke("default/second").unwrap();
    assert_eq!(client.ask("wait /second/chat").unwrap(), "cut");
    until_ended(&stage, "/second/chat", "CutByGrantEnd");
}

//! A program that runs goes on: with the roots that it read when it began, and the names that it looked up. A grant
//! that comes later is there for it, and a broker that dies is not missed.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::time::Duration;

use lanyard_e2e::{
    agent,
    dialogue::Dialogue,
    grant::{NamedGrant, credential, whoever},
    peers,
    scenes::{Stage, TOOLS, USER},
    service::{GREETING, NAME, OTHER_NAME},
    wait,
};
use serde_json::Value;

fn stage() -> Stage {
    let stage = Stage::set().unwrap();
    let source = [
        "type: SecretKey",
        "secretKey:",
        "  name: service",
        "  key: token",
    ];
    let source = credential(
        "everywhere",
        &source,
        &["type: Bearer"],
        &[NAME, OTHER_NAME],
    );
    stage
        .lab
        .write("manifests/everywhere.yaml", source)
        .unwrap();
    stage
        .lab
        .write("manifests/tools.yaml", whoever(TOOLS))
        .unwrap();
    grant(&stage, "orders", NAME, "/orders/**");
    stage
}

fn grant(stage: &Stage, name: &str, host: &str, path: &str) {
    let grant = NamedGrant {
        host,
        resource: vec!["http:".into(), format!("  - path: {path}")],
        credential: Some("everywhere"),
        ..stage.grant(name)
    };
    stage.give(&grant).unwrap();
}

/// Asks as the running client; once, whatever comes.
fn ask(stage: &Stage, client: &mut Dialogue, url: &str) -> Value {
    let said = client.ask(url).unwrap();
    let reply = serde_json::from_str(&said);
    reply.unwrap_or_else(|_| panic!("{said:?}\n{}", stage.lanyard.daemon_log()))
}

fn goes_on(stage: &Stage, command: &[&str]) {
    let mut run = stage.lanyard.run_as(TOOLS, Some(USER), command);
    let mut client = Dialogue::start(&mut run).unwrap();
    assert_eq!(client.hear().unwrap(), "done");
    let order = stage.url("/orders/1");
    let reply = ask(stage, &mut client, &order);
    assert_eq!(reply["body"], "order /orders/1\n", "{reply}");
    let admin = stage.url("/admin");
    let refused = ask(stage, &mut client, &admin);
    assert_eq!(refused["status"], 403, "{refused}");

    // More of the same name, and another name, for which its broker has no certificate yet.
    grant(stage, "admin", NAME, "/admin");
    grant(stage, "elsewhere", OTHER_NAME, "/");
    let other = format!("https://{OTHER_NAME}/");
    let all_are_granted = |client: &mut Dialogue| {
        for (url, body) in [
            (&order, "order /orders/1\n"),
            (&admin, "you are in\n"),
            (&other, &format!("{GREETING}\n")),
        ] {
            let reply = ask(stage, client, url);
            assert_eq!(
                reply["body"],
                body,
                "{reply}\n{}",
                stage.lanyard.daemon_log()
            );
        }
    };
    all_are_granted(&mut client);

    let killed = stage.lanyard.only_broker().unwrap();
    assert_eq!(stage.lanyard.kill_brokers().unwrap(), 1);
    wait::until("another broker runs", Duration::from_secs(10), || {
        Ok((stage.lanyard.only_broker()? != killed).then_some(()))
    })
    .unwrap();
    all_are_granted(&mut client);
    assert!(client.end().unwrap().success());
}

#[test]
fn node() {
    let stage = stage();
    let node = agent::node().unwrap().display().to_string();
    let script = peers::file("node/fetch.mjs").unwrap();
    let script = stage.lab.write("programs/fetch.mjs", script).unwrap();
    goes_on(&stage, &[&node, &script.display().to_string()]);
}

#[test]
fn go() {
    let client = peers::go_client().unwrap().display().to_string();
    goes_on(&stage(), &[&client]);
}

#[test]
fn java() {
    let classes = peers::java_client().unwrap().display().to_string();
    goes_on(&stage(), &["java", "-Xmx64m", "-cp", &classes, "Client"]);
}

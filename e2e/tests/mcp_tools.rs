//! Agents call the tools of an MCP server that they are granted and no others, with the clients of the official
//! SDKs in two languages, with sessions and without.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use lanyard_e2e::{
    agent, client, counterparts,
    grant::NamedGrant,
    peers,
    scenes::{Stage, TOKEN, TOOLS, USER},
    service::NAME,
};

const SESSIONS: u16 = 8447;
const STATELESS: u16 = 8448;

fn stage(port: u16) -> Stage {
    let stage = Stage::with_tools().unwrap();
    let grant = NamedGrant {
        port,
        protocol: "MCP",
        resource: vec![
            "http: [{ path: /mcp }]".to_owned(),
            "mcp: { tools: [get_*] }".to_owned(),
        ],
        ..stage.grant("mcp")
    };
    stage.give(&grant).unwrap();
    stage
}

fn said(stage: &Stage, command: &[&str]) -> String {
    let mut process = stage.lanyard.run_as(TOOLS, Some(USER), command);
    let project = stage.lanyard.project(Some(USER));
    let heard = client::run_without(&mut process, TOKEN, "issue 7", &project);
    let heard = heard.unwrap_or_else(|error| panic!("{error:#}\n{}", stage.lanyard.daemon_log()));
    heard.printed + &heard.errors
}

fn python(port: u16, mode: &str) -> String {
    let stage = stage(port);
    let _server = counterparts::mcp(&stage.lab, TOKEN).unwrap();
    let script = peers::file("python/mcp_client.py").unwrap();
    let script = stage.lab.write("programs/mcp_client.py", script).unwrap();
    let python = peers::python().unwrap().display().to_string();
    let url = format!("https://{NAME}:{port}/mcp");
    let text = said(
        &stage,
        &[&python, &script.display().to_string(), &url, mode],
    );
    for line in [
        "tools ['get_issue', 'get_token']",
        "called issue 7",
        "heard ****",
    ] {
        assert!(
            text.contains(line),
            "{line}:\n{text}\n{}",
            stage.lanyard.daemon_log()
        );
    }
    assert!(
        text.contains("refused") && text.contains("does not allow this tool"),
        "{text}"
    );
    let records = stage.lanyard.records().unwrap();
    let is_call =
        |record: &&serde_json::Value| record.to_string().contains("\"tool\":\"get_issue\"");
    assert!(records.iter().any(|record| is_call(&record)), "{records:?}");
    let explained = stage.lanyard.explain_last("delete_repo").unwrap();
    assert!(explained.contains("tools/call"), "{explained}");
    text
}

#[test]
fn python_with_sessions() {
    python(SESSIONS, "legacy");
}

#[test]
fn python_without_sessions_in_the_newest_protocol() {
    let text = python(STATELESS, "auto");
    assert!(text.contains("version 2026-07-28"), "{text}");
}

#[test]
fn node_with_sessions() {
    let stage = stage(SESSIONS);
    let _server = counterparts::mcp(&stage.lab, TOKEN).unwrap();
    let script = peers::file("node/mcp.mjs").unwrap();
    let script = stage.lab.write("programs/mcp.mjs", script).unwrap();
    let node = agent::node().unwrap().display().to_string();
    let modules = peers::node_modules().unwrap().display().to_string();
    let url = format!("https://{NAME}:{SESSIONS}/mcp");
    let text = said(
        &stage,
        &[&node, &script.display().to_string(), &modules, &url],
    );
    assert!(
        text.contains("tools get_issue,get_token"),
        "{text}\n{}",
        stage.lanyard.daemon_log()
    );
    assert!(text.contains("called issue 7"), "{text}");
    assert!(
        text.contains("refused -32003") && text.contains("does not allow this tool"),
        "{text}"
    );
}

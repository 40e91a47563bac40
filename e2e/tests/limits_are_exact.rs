//! A grant of so many requests or bytes gives as many and no more: to all processes together, through crashes and
//! restarts.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::process::{Child, Stdio};

use lanyard_e2e::{
    grant::NamedGrant,
    scenes::{Stage, TOOLS, USER},
};

fn stage(limit: &str) -> Stage {
    let stage = Stage::with_tools().unwrap();
    let grant = NamedGrant {
        spec: vec![limit.to_owned()],
        ..stage.grant("few")
    };
    stage.give(&grant).unwrap();
    stage
}

/// curl in a scope of its own asks so many times, over one connection, and says each status.
fn ask(stage: &Stage, times: usize) -> Child {
    let url = format!("{}?[1-{times}]", stage.url("/"));
    let command = [
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}\n",
        &url,
    ];
    stage
        .lanyard
        .run_as(TOOLS, Some(USER), &command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn statuses(asking: Child) -> Vec<String> {
    let output = asking.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

fn arrived(stage: &Stage) -> usize {
    stage.service.requests().unwrap().len()
}

#[test]
fn as_many_requests_are_made_as_are_allowed_by_all_scopes_together() {
    let stage = stage("maxUses: 20");
    let asking: Vec<Child> = (0..4).map(|_| ask(&stage, 10)).collect();
    let all: Vec<String> = asking.into_iter().flat_map(statuses).collect();
    let granted = all.iter().filter(|status| *status == "200").count();
    assert_eq!(
        (granted, arrived(&stage)),
        (20, 20),
        "{all:?}\n{}",
        stage.lanyard.daemon_log()
    );
    stage
        .lanyard
        .until_standing("default/few", "UsedUp")
        .unwrap();
    let explained = stage.lanyard.explain_last("as many").unwrap();
    assert!(explained.contains("default/few"), "{explained}");
}

#[test]
fn neither_a_crash_nor_a_restart_gives_a_use_back() {
    let mut stage = stage("maxUses: 6");
    assert_eq!(statuses(ask(&stage, 3)), ["200"; 3]);
    stage.lanyard.kill_everything().unwrap();
    stage.lanyard.start(&stage.lab).unwrap();
    stage.lanyard.until_live("default/few").unwrap();
    let all = statuses(ask(&stage, 6));
    let granted = all.iter().filter(|status| *status == "200").count();
    assert_eq!((granted, arrived(&stage)), (3, 6), "{all:?}");
    // Written anew with the same content, it is the same grant.
    let manifest = stage.lab.path("manifests/few-grant.yaml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    stage.lanyard.until_gone("default/few").unwrap();
    std::fs::write(&manifest, text).unwrap();
    stage
        .lanyard
        .until_standing("default/few", "UsedUp")
        .unwrap();
}

#[test]
fn a_reply_is_cut_where_the_bytes_end() {
    let stage = stage("maxBytes: 100000");
    let url = stage.url("/large");
    let output = stage
        .lanyard
        .run_as(TOOLS, Some(USER), &["curl", "-sS", &url])
        .output()
        .unwrap();
    assert!(!output.status.success(), "{output:?}");
    let received = output.stdout.len();
    assert!((1..=100_000).contains(&received), "{received}");
    assert_eq!(stage.lanyard.until_ended("/large").unwrap(), "CutByLimit");
}

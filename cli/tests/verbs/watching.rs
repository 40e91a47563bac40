//! `status --watch` where there is no terminal.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use lanyard_protocol::control::{GrantStatus, Status, reply::Reply};
use serde_json::Value;

use crate::fake::FakeNodeAgent;

/// The time left shrinks with each question; from the third on the grant has ended.
fn status(question: u64) -> Status {
    let reason = if question < 3 { "Active" } else { "Expired" };
    Status {
        node: "local".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        grants: vec![GrantStatus {
            grant: "default/read".into(),
            reason: reason.into(),
            left_millis: 9_000 - 1_000 * question,
            ..GrantStatus::default()
        }],
        ..Status::default()
    }
}

fn watching(words: &[&str]) -> (FakeNodeAgent<()>, Child) {
    let mut question = 0;
    let fake = FakeNodeAgent::<()>::serve(move |mut asked| {
        question += 1;
        asked.answer(Reply::Status(status(question.min(8))));
    });
    let child = fake
        .command()
        .args(["status", "--watch"])
        .args(words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    (fake, child)
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn each_change_is_one_line_of_json_and_passing_time_is_none() {
    let (_fake, mut child) = watching(&["-o", "json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["grants"][0]["reason"], "Active");
    assert_eq!(next()["grants"][0]["reason"], "Expired");
    end(child);
}

#[test]
fn pages_are_appended_with_a_line_between() {
    let (_fake, mut child) = watching(&[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let heads = lines
        .by_ref()
        .map(|line| line.unwrap())
        .filter(|line| line.starts_with("node local"))
        .take(2);
    assert_eq!(heads.count(), 2);
    assert!(!lines.next().unwrap().unwrap().contains('\u{1b}'));
    end(child);
}

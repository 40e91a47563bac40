//! Promise 1: an agent is the process that runs, not an account or a name.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use lanyard_e2e::scenes::{Stage, granted, refused};

#[test]
fn the_listed_program_is_the_agent_and_one_changed_byte_ends_that() {
    let stage = Stage::set().unwrap();
    granted::curl_gets_through(&stage).unwrap();
    refused::changed_program_is_refused(&stage).unwrap();
}

/// Another program in the same scope, started by the agent itself, is not the agent.
#[test]
fn a_program_that_the_agent_starts_has_no_access_of_its_own() {
    const SCRIPT: &str = r#"
import subprocess, sys, urllib.request
print("python:", urllib.request.urlopen(sys.argv[1]).status, flush=True)
child = subprocess.run(["/usr/bin/curl", "--silent", "--max-time", "15", sys.argv[1]], capture_output=True)
print("child:", child.returncode, len(child.stdout), flush=True)
"#;
    let stage = Stage::set().unwrap();
    let output = stage
        .python(&["-c", SCRIPT, &stage.url("/")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("python: 200"),
        "the agent itself is refused: {said}{output:?}"
    );
    let child = said
        .lines()
        .find(|line| line.starts_with("child:"))
        .unwrap();
    assert!(
        child.ends_with(" 0") && !child.starts_with("child: 0"),
        "the child got through: {child}"
    );
    stage
        .lanyard
        .explain_last("lists no file at that path")
        .unwrap();
}

/// The very program that is listed, put into the scope from outside, is not the agent.
#[test]
fn a_process_that_enters_the_scope_from_outside_has_no_identity() {
    const HOLD: &str = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status, flush=True); sys.stdin.read()";
    let stage = Stage::set().unwrap();
    let mut agent = stage.python(&["-c", HOLD, &stage.url("/")]);
    let mut agent = agent
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(agent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(
        line.trim(),
        "200",
        "the agent itself is refused: {}",
        stage.lanyard.daemon_log()
    );
    let entered = Command::new("sh")
        .arg("-c")
        .arg("echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"")
        .arg("sh")
        .arg(stage.lanyard.scope_cgroup().unwrap())
        .arg(&stage.curl)
        .args([
            "--silent",
            "--insecure",
            "--max-time",
            "15",
            &stage.url("/"),
        ])
        .output()
        .unwrap();
    let explained = stage
        .lanyard
        .explain_last("came into the scope from outside");
    drop(agent.stdin.take());
    agent.wait().unwrap();
    explained.unwrap();
    assert!(
        !entered.status.success() && entered.stdout.is_empty(),
        "it got through: {entered:?}"
    );
}

/// Who may run an agent is the machine's policy: root and those it names.
#[test]
fn a_user_whom_the_policy_does_not_name_cannot_run_the_agent() {
    let stage = Stage::set().unwrap();
    let curl = stage.curl.display().to_string();
    let output = stage
        .lanyard
        .run(Some("daemon"), &[&curl, &stage.url("/")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        said.contains("you may not run the agent default/bot"),
        "{said}"
    );
    assert!(
        stage
            .curl(&[&stage.url("/")])
            .output()
            .unwrap()
            .status
            .success(),
        "the named user is refused"
    );
}

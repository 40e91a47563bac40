//! What comes into a scope from outside has no identity, whatever it executes.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{Evidence, Stage};

/// Asks once, says what came, and stays until its input ends.
const HOLD: &str = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status, flush=True); sys.stdin.read()";

/// The very program that is listed, put into the scope of a running agent by root.
pub fn program_from_outside_is_refused(stage: &Stage) -> Result<Evidence> {
    let (mut agent, first) = running_agent(stage)?;
    let entered = Command::new("sh")
        .arg("-c")
        .arg("echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"")
        .arg("sh")
        .arg(stage.lanyard.scope_cgroup()?)
        .arg(&stage.curl)
        .args(["--silent", "--show-error", "--insecure", "--max-time", "15"])
        .arg(stage.plain_url("/"))
        .output()?;
    let explained = stage
        .lanyard
        .explain_last("came into the scope from outside");
    drop(agent.stdin.take());
    agent.wait()?;
    let explained = explained?;
    ensure!(
        first == "200",
        "the agent itself is refused: {first} {}",
        stage.lanyard.daemon_log()
    );
    ensure!(
        !entered.status.success() && entered.stdout.is_empty(),
        "it got through: {entered:?}"
    );
    Ok(vec![
        "the agent in the scope gets through".to_owned(),
        format!(
            "the same curl, put into its cgroup by root: {}",
            String::from_utf8_lossy(&entered.stderr).trim()
        ),
        format!(
            "explain says: {}",
            explained.lines().next().unwrap_or_default()
        ),
    ])
}

/// A Python agent that has reached the service and waits; and what it said.
fn running_agent(stage: &Stage) -> Result<(Child, String)> {
    let mut agent = stage.python(&["-c", HOLD, &stage.url("/")]);
    let mut agent = agent.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let out = agent.stdout.take().context("the agent has a stdout")?;
    BufReader::new(out).read_line(&mut line)?;
    Ok((agent, line.trim().to_owned()))
}

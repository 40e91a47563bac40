//! From watching to enforcing: an agent is observed, the grants that it needs are suggested and applied, and
//! with them it is fenced.

use anyhow::{Result, ensure};

use super::{Evidence, Stage, USER};
use crate::{lab, manifest::Identity, service};

/// Observe, suggest, apply, enforce.
pub fn suggested_grants_are_enough(stage: &Stage) -> Result<Evidence> {
    write_identity(stage, "Observe")?;
    stage
        .lanyard
        .until_enforcement("default/watched", "Observe")?;
    let watched = run(stage, &stage.plain_url("/"))?;
    ensure!(
        watched.status.success(),
        "an observed agent was refused: {watched:?} {}",
        stage.lanyard.daemon_log()
    );
    let suggested = stage.lanyard.suggested("watched", &stage.lab.address())?;
    write_identity(stage, "Enforce")?;
    stage
        .lanyard
        .until_enforcement("default/watched", "Enforce")?;
    let without = run(stage, &stage.plain_url("/"))?;
    ensure!(
        !without.status.success(),
        "nothing grants it yet: {without:?}"
    );
    let file = stage.lab.write("suggested.yaml", &suggested)?;
    let file = file.display().to_string();
    lab::run(&mut stage.lanyard.command(&["apply", "-f", &file]))?;
    let with = run(stage, &stage.plain_url("/"))?;
    ensure!(
        with.status.success(),
        "the suggested grants are not enough: {with:?}\n{suggested}\n{}",
        stage.lanyard.daemon_log()
    );
    let other = format!("http://{}:{}/", stage.lab.address(), service::PEER_PORT);
    let elsewhere = run(stage, &other)?;
    ensure!(
        !elsewhere.status.success(),
        "they are wider than what was seen: {elsewhere:?}"
    );
    let mut evidence =
        vec!["observed, it got through, and `lanyard suggest --as watched` printed:".to_owned()];
    evidence.extend(
        suggested
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .map(|line| format!("    {line}")),
    );
    evidence.push(
        "enforced without it: refused; applied: it gets through, and nowhere else".to_owned(),
    );
    Ok(evidence)
}

fn write_identity(stage: &Stage, enforcement: &str) -> Result<()> {
    let identity = Identity::named("watched")
        .with(&format!("enforcement: {enforcement}"))
        .program("curl", &stage.curl, "None")?;
    stage.lab.write("manifests/watched.yaml", identity.yaml())?;
    Ok(())
}

fn run(stage: &Stage, url: &str) -> Result<std::process::Output> {
    let curl = stage.curl.display().to_string();
    let command = [
        curl.as_str(),
        "--silent",
        "--show-error",
        "--max-time",
        "15",
        url,
    ];
    let mut command = stage.lanyard.run_as("watched", Some(USER), &command);
    Ok(command.output()?)
}

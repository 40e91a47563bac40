//! The refused thing is refused, and says why.

use anyhow::{Result, ensure};

use super::{Evidence, Stage};
use crate::{agent, service};

/// The same program with one byte changed is not the agent any more.
pub fn changed_program_is_refused(stage: &Stage) -> Result<Evidence> {
    let listed = agent::sha256(&stage.curl)?;
    agent::change_one_byte(&stage.curl)?;
    let changed = agent::sha256(&stage.curl)?;
    let by_name = stage
        .curl(&["--max-time", "15", &stage.url("/")])
        .output()?;
    let explained = stage.lanyard.explain_last(&changed)?;
    let by_address = stage
        .curl(&["--max-time", "15", &stage.plain_url("/")])
        .output()?;
    // Put back what was changed: the byte, and with it the agent.
    agent::change_one_byte(&stage.curl)?;
    let again = stage.curl(&[&stage.plain_url("/")]).output()?;
    for (how, output) in [("by name", &by_name), ("by address", &by_address)] {
        let reply = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            !output.status.success() && reply.is_empty(),
            "the changed curl got through {how}: {reply}"
        );
    }
    ensure!(
        again.status.success(),
        "the restored curl does not get through: {again:?}\n{}",
        stage.lanyard.daemon_log()
    );
    ensure!(
        explained.contains(&listed) && explained.contains(&changed),
        "explain names neither what is listed nor what was found: {explained}"
    );
    let mut evidence = vec![
        format!(
            "one byte of {} changed: {} became {}",
            stage.curl.display(),
            short(&listed),
            short(&changed)
        ),
        format!(
            "it said: {}",
            String::from_utf8_lossy(&by_name.stderr).trim()
        ),
        "`lanyard explain --last` says:".to_owned(),
    ];
    evidence.extend(
        explained
            .lines()
            .take_while(|line| !line.starts_with("This would"))
            .map(|line| format!("    {line}")),
    );
    evidence.push("with the byte put back it gets through again".to_owned());
    Ok(evidence)
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// A host that nothing grants: its name does not exist, its address is refused by the kernel.
pub fn other_host_is_refused(stage: &Stage) -> Result<Evidence> {
    let before = stage.service.requests()?.len();
    let name = format!("https://{}/", service::OTHER_NAME);
    let by_name = stage.curl(&["--max-time", "15", &name]).output()?;
    let explained = stage.lanyard.explain_last(service::OTHER_NAME)?;
    let address = format!("https://{}/", stage.lab.address());
    let by_address = stage
        .curl(&["--max-time", "15", "--insecure", &address])
        .output()?;
    stage.lanyard.explain_last(&stage.lab.address())?;
    ensure!(
        by_name.status.code() == Some(6),
        "the other name was resolved: {by_name:?}"
    );
    // Refused at once, or held until the program was looked at and closed then.
    ensure!(
        !by_address.status.success() && by_address.stdout.is_empty(),
        "the other address was reached: {by_address:?}"
    );
    ensure!(
        stage.service.requests()?.len() == before,
        "something arrived at the service"
    );
    Ok(vec![
        format!(
            "curl {name}: {}",
            String::from_utf8_lossy(&by_name.stderr).trim()
        ),
        format!(
            "curl {address}: {}",
            String::from_utf8_lossy(&by_address.stderr).trim()
        ),
        format!(
            "explain says: {}",
            explained.lines().next().unwrap_or_default()
        ),
        "nothing arrived at the service".to_owned(),
    ])
}

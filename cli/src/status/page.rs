//! The status as people read it.

use std::fmt::{self, Display, Formatter};

use lanyard_access::reason::GrantReason;
use lanyard_protocol::control::{GrantStatus, ProcessStatus, ScopeStatus, Status};

use crate::{
    table::Table,
    terminal::{printable, printable_lines},
    time_left::time_left,
};

/// Sections, each left out when it has nothing to say but what is worth knowing is absent.
pub(super) struct Page<'a>(pub(super) &'a Status);

impl Display for Page<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self(status) = self;
        writeln!(
            formatter,
            "node {}, node agent {}, map ABI {}",
            printable(&status.node),
            printable(&status.version),
            status.map_abi
        )?;
        write_agents(status, formatter)?;
        write_scopes(&status.scopes, formatter)?;
        write_grants(&status.grants, formatter)?;
        write_counters(status, formatter)?;
        write_problems(&status.problems, formatter)
    }
}

fn write_agents(status: &Status, formatter: &mut Formatter<'_>) -> fmt::Result {
    if status.agents.is_empty() {
        return writeln!(formatter, "\nNo agents.");
    }
    let mut table = Table::new(["AGENT", "MODE", "SPIFFE ID", "PROCESSES LISTED"]);
    for agent in &status.agents {
        table.row([
            agent.agent.clone(),
            agent.enforcement.clone(),
            agent.spiffe_id.clone(),
            agent.processes_listed.to_string(),
        ]);
    }
    write!(formatter, "\n{table}")
}

fn write_scopes(scopes: &[ScopeStatus], formatter: &mut Formatter<'_>) -> fmt::Result {
    if scopes.is_empty() {
        return writeln!(formatter, "\nNothing runs as an agent.");
    }
    let mut table = Table::new([
        "SCOPE", "AGENT", "MODE", "UID", "BROKER", "PID", "EVIDENCE", "PATH",
    ]);
    for scope in scopes {
        let broker = if scope.broker_runs { "runs" } else { "down" };
        let mut head = [
            scope.scope.clone(),
            scope.agent.clone(),
            scope.enforcement.clone(),
            scope.uid.to_string(),
            broker.to_owned(),
        ];
        if scope.processes.is_empty() {
            let [name, agent, mode, uid, broker] = head;
            let none = String::new;
            table.row([name, agent, mode, uid, broker, "-".into(), none(), none()]);
            continue;
        }
        for process in &scope.processes {
            // The rows of further processes leave the scope's own cells free.
            let [name, agent, mode, uid, broker] = std::mem::take(&mut head);
            let pid = process.pid.to_string();
            let path = process.path.clone();
            let evidence = evidence(process);
            table.row([name, agent, mode, uid, broker, pid, evidence, path]);
        }
    }
    write!(formatter, "\n{table}")
}

fn evidence(process: &ProcessStatus) -> String {
    match (process.level.as_str(), process.reason.as_str()) {
        ("", "") => "none".to_owned(),
        ("", reason) => format!("none: {reason}"),
        (level, "") => level.to_owned(),
        (level, reason) => format!("{level}: {reason}"),
    }
}

/// Live grants first; of the others the reason is what people look for.
fn write_grants(grants: &[GrantStatus], formatter: &mut Formatter<'_>) -> fmt::Result {
    if grants.is_empty() {
        return writeln!(formatter, "\nNo grants.");
    }
    let (live, others): (Vec<_>, Vec<_>) = grants.iter().partition(|grant| is_live(grant));
    let mut table = Table::new(["GRANT", "AGENT", "RESOURCE", "STANDING", "LEFT", "ENDS"]);
    for grant in live.into_iter().chain(others) {
        let left = if is_live(grant) {
            time_left(grant.left_millis)
        } else {
            "-".to_owned()
        };
        table.row([
            grant.grant.clone(),
            grant.agent.clone(),
            format!(
                "{} {}:{}",
                grant.protocol,
                bracketed(&grant.host),
                grant.port
            ),
            grant.reason.clone(),
            left,
            grant.ends_at.clone(),
        ]);
    }
    write!(formatter, "\n{table}")
}

fn is_live(grant: &GrantStatus) -> bool {
    grant.reason == GrantReason::Active.as_str()
}

/// An IPv6 address stands in brackets before a port (RFC 3986, 3.2.2).
fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

fn write_counters(status: &Status, formatter: &mut Formatter<'_>) -> fmt::Result {
    let counted: Vec<_> = status
        .counters
        .iter()
        .filter(|counter| counter.value > 0)
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["REFUSED", "TIMES"]);
    for counter in counted {
        table.row([counter.name.clone(), counter.value.to_string()]);
    }
    write!(formatter, "\n{table}")
}

fn write_problems(problems: &[String], formatter: &mut Formatter<'_>) -> fmt::Result {
    if problems.is_empty() {
        return Ok(());
    }
    writeln!(
        formatter,
        "\nThese manifests could not be read; what was good before is kept:"
    )?;
    for problem in problems {
        let problem = printable_lines(problem.trim_end()).replace('\n', "\n    ");
        writeln!(formatter, "  - {problem}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::control::{AgentStatus, Counter};

    use super::*;

    fn process(pid: u32, path: &str, level: &str, reason: &str) -> ProcessStatus {
        ProcessStatus {
            pid,
            path: path.into(),
            level: level.into(),
            reason: reason.into(),
        }
    }

    fn grant(name: &str, host: &str, reason: &str, left_millis: u64) -> GrantStatus {
        GrantStatus {
            grant: format!("default/{name}"),
            agent: "default/bot".into(),
            host: host.into(),
            port: 443,
            protocol: "Https".into(),
            reason: reason.into(),
            ends_at: "2026-11-25T12:00:00Z".into(),
            left_millis,
        }
    }

    fn status() -> Status {
        Status {
            node: "local".into(),
            version: "0.1.0".into(),
            map_abi: 1,
            agents: vec![AgentStatus {
                agent: "default/bot".into(),
                spiffe_id: "spiffe://local/ns/default/agent/bot".into(),
                processes_listed: 2,
                enforcement: "Enforce".into(),
            }],
            scopes: vec![
                ScopeStatus {
                    scope: "7".into(),
                    agent: "default/bot".into(),
                    uid: 1000,
                    broker_runs: true,
                    enforcement: "Observe".into(),
                    processes: vec![
                        process(41, "/usr/bin/bash", "Scope", "LoaderVariables"),
                        process(42, "/usr/bin/\x1bcurl", "Image", ""),
                    ],
                },
                ScopeStatus {
                    scope: "8".into(),
                    agent: "default/bot".into(),
                    ..ScopeStatus::default()
                },
            ],
            grants: vec![
                grant("old", "a.example", "Expired", 0),
                grant("new", "2001:db8::1", "Active", 65_400),
            ],
            problems: vec!["/m/x.yaml:3:7: spec.host\n  is wrong".into()],
            counters: vec![
                Counter {
                    name: "NoGrant".into(),
                    value: 3,
                },
                Counter {
                    name: "MapFull".into(),
                    value: 0,
                },
            ],
        }
    }

    #[test]
    fn a_page_shows_all_that_stands() {
        let expected = "\
node local, node agent 0.1.0, map ABI 1

AGENT        MODE     SPIFFE ID                            PROCESSES LISTED
default/bot  Enforce  spiffe://local/ns/default/agent/bot  2

SCOPE  AGENT        MODE     UID   BROKER  PID  EVIDENCE                PATH
7      default/bot  Observe  1000  runs    41   Scope: LoaderVariables  /usr/bin/bash
                                           42   Image                   /usr/bin/\\u{1b}curl
8      default/bot           0     down    -

GRANT        AGENT        RESOURCE                 STANDING  LEFT   ENDS
default/new  default/bot  Https [2001:db8::1]:443  Active    1m 5s  2026-11-25T12:00:00Z
default/old  default/bot  Https a.example:443      Expired   -      2026-11-25T12:00:00Z

REFUSED  TIMES
NoGrant  3

These manifests could not be read; what was good before is kept:
  - /m/x.yaml:3:7: spec.host
      is wrong
";
        assert_eq!(Page(&status()).to_string(), expected);
    }

    #[test]
    fn an_idle_node_says_so() {
        let status = Status {
            node: "local".into(),
            version: "0.1.0".into(),
            map_abi: 1,
            ..Status::default()
        };
        let expected = "node local, node agent 0.1.0, map ABI 1\n\nNo agents.\n\n\
            Nothing runs as an agent.\n\nNo grants.\n";
        assert_eq!(Page(&status).to_string(), expected);
    }
}

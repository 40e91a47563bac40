//! The status as programs read it. Fields are only ever added while [`FORMAT`] stays the same.

use std::collections::BTreeMap;

use lanyard_protocol::control::{AgentStatus, GrantStatus, ProcessStatus, ScopeStatus, Status};
use serde::Serialize;

/// The number of this format.
const FORMAT: u32 = 1;

/// The whole status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    format: u32,
    node: String,
    node_agent_version: String,
    map_abi: u32,
    agents: Vec<ListedAgent>,
    scopes: Vec<RunningScope>,
    grants: Vec<KnownGrant>,
    problems: Vec<String>,
    counters: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedAgent {
    agent: String,
    spiffe_id: String,
    enforcement: String,
    processes_listed: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RunningScope {
    scope: String,
    agent: String,
    uid: u32,
    enforcement: String,
    broker_runs: bool,
    processes: Vec<RunningProcess>,
}

#[derive(Debug, Serialize)]
struct RunningProcess {
    pid: u32,
    path: String,
    level: Option<String>,
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KnownGrant {
    grant: String,
    agent: String,
    host: String,
    port: u32,
    protocol: String,
    reason: String,
    ends_at: Option<String>,
    left_millis: u64,
}

impl From<Status> for Document {
    fn from(status: Status) -> Self {
        Self {
            format: FORMAT,
            node: status.node,
            node_agent_version: status.version,
            map_abi: status.map_abi,
            agents: status.agents.into_iter().map(ListedAgent::from).collect(),
            scopes: status.scopes.into_iter().map(RunningScope::from).collect(),
            grants: status.grants.into_iter().map(KnownGrant::from).collect(),
            problems: status.problems,
            counters: status
                .counters
                .into_iter()
                .map(|counter| (counter.name, counter.value))
                .collect(),
        }
    }
}

impl From<AgentStatus> for ListedAgent {
    fn from(status: AgentStatus) -> Self {
        Self {
            agent: status.agent,
            spiffe_id: status.spiffe_id,
            enforcement: status.enforcement,
            processes_listed: status.processes_listed,
        }
    }
}

impl From<ScopeStatus> for RunningScope {
    fn from(status: ScopeStatus) -> Self {
        Self {
            scope: status.scope,
            agent: status.agent,
            uid: status.uid,
            enforcement: status.enforcement,
            broker_runs: status.broker_runs,
            processes: status
                .processes
                .into_iter()
                .map(RunningProcess::from)
                .collect(),
        }
    }
}

impl From<ProcessStatus> for RunningProcess {
    fn from(status: ProcessStatus) -> Self {
        Self {
            pid: status.pid,
            path: status.path,
            level: unless_empty(status.level),
            reason: unless_empty(status.reason),
        }
    }
}

impl From<GrantStatus> for KnownGrant {
    fn from(status: GrantStatus) -> Self {
        Self {
            grant: status.grant,
            agent: status.agent,
            host: status.host,
            port: status.port,
            protocol: status.protocol,
            reason: status.reason,
            ends_at: unless_empty(status.ends_at),
            left_millis: status.left_millis,
        }
    }
}

fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

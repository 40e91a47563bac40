//! What a record means, or what has not happened yet would, for a person: why, and what to do about it. No I/O.

mod attempt;
mod grants;
mod remedy;

use std::net::SocketAddr;

use jiff::Timestamp;
use lanyard_access::{
    desired::Desired,
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    grant::Protocol,
    host::{DnsName, Host},
    object::ObjectKey,
    reason::{AttestationReason, ConnectionReason, RefusalReason},
};
use lanyard_protocol::{
    control::Explanation,
    record::{Event, McpCall, Process, Record, Request, Transport},
};

pub use self::attempt::AttemptError;
use self::grants::{Asked, Goal};

/// Explains what would happen if a process of an agent went there at `now`. A request is its method and path.
pub fn would(
    agent: &ObjectKey,
    (host, port, protocol): (Host, u16, Protocol),
    request: Option<(String, String)>,
    desired: &Desired,
    now: Timestamp,
) -> Result<Explanation, AttemptError> {
    let goal = Goal {
        host,
        port,
        protocol,
        request: request.map(|(method, path)| {
            let (path, query) = path.split_once('?').unwrap_or((&path, ""));
            Asked {
                method,
                path: path.to_owned(),
                query: query.to_owned(),
            }
        }),
    };
    attempt::would(agent, &goal, desired, now)
}

/// Explains one record in the light of what is desired now.
pub fn explain(record: &Record, desired: &Desired) -> Explanation {
    let told = match &record.event {
        Event::ProcessRefused {
            process,
            reason,
            listed,
            scope,
        } => refused_process(&scope.agent, process, *reason, *listed),
        Event::ConnectionRefused {
            scope,
            process,
            destination,
            name,
            reason,
            identity,
            path,
            transport,
        } => refused_connection(
            &Refused {
                agent: &scope.agent,
                process,
                destination: *destination,
                name: name.as_ref(),
                transport: *transport,
                path: path.as_deref(),
                reason: *reason,
                identity: *identity,
            },
            desired,
        ),
        Event::NameRefused { scope, name } => refused_name(&scope.agent, name, desired),
        Event::RequestRefused {
            scope,
            process,
            request,
            reason,
        } => refused_request(&scope.agent, process, request, *reason, desired),
        Event::ProcessAttested { scope, process } => Told {
            summary: format!("Nothing was refused: {}.", known(&scope.agent, process)),
            remedy: process
                .reason
                .map(|why| remedy::of_identity(&scope.agent, why))
                .unwrap_or_default(),
            ..Told::default()
        },
        Event::ConnectionObserved { scope, reason, .. } => Told {
            summary: format!(
                "Nothing was refused, for {} is only observed; else: {}.",
                scope.agent,
                reason.message()
            ),
            remedy: format!("lanyard suggest --as {}", scope.agent),
            ..Told::default()
        },
        Event::ScopeStarted { .. }
        | Event::ScopeEnded { .. }
        | Event::ConnectionAllowed { .. }
        | Event::NameObserved { .. }
        | Event::RequestIntended { .. }
        | Event::RequestEnded { .. }
        | Event::GrantChanged { .. }
        | Event::ObjectChanged { .. }
        | Event::NodeStarted { .. }
        | Event::NodeDisabled { .. }
        | Event::EventsLost { .. } => Told {
            summary: "Nothing was refused.".to_owned(),
            ..Told::default()
        },
    };
    Explanation {
        record: serde_json::to_string(record).unwrap_or_default(),
        summary: told.summary,
        facts: told.facts,
        remedy: told.remedy,
        yaml: told.yaml,
    }
}

#[derive(Default)]
struct Told {
    summary: String,
    facts: Vec<String>,
    remedy: String,
    yaml: String,
}

fn refused_process(
    agent: &ObjectKey,
    process: &Process,
    reason: AttestationReason,
    listed: Option<Sha256Digest>,
) -> Told {
    let path = process.path.as_deref().unwrap_or("the executed file");
    let mut facts = vec![format!("process {} executed {path}", process.pid)];
    facts.extend(digests(agent, process, listed));
    Told {
        summary: format!("{path} is not the agent {agent}: {}.", reason.message()),
        facts,
        remedy: remedy::of_identity(agent, reason),
        yaml: remedy::identity_yaml(agent, process, reason),
    }
}

/// What was executed, and what should have been.
fn digests(agent: &ObjectKey, process: &Process, listed: Option<Sha256Digest>) -> Vec<String> {
    let executed = process
        .sha256
        .map(|digest| format!("the SHA-256 of what it executed is {digest}"));
    let listed = listed.map(|digest| format!("AgentIdentity {agent} lists {digest} for that path"));
    executed.into_iter().chain(listed).collect()
}

/// What is told of a refused connection.
struct Refused<'a> {
    agent: &'a ObjectKey,
    process: &'a Process,
    destination: Option<SocketAddr>,
    name: Option<&'a DnsName>,
    transport: Option<Transport>,
    path: Option<&'a str>,
    reason: ConnectionReason,
    identity: Option<AttestationReason>,
}

impl Refused<'_> {
    /// What a grant would have to open. A name is granted for HTTPS, which is TCP.
    fn goal(&self) -> Option<Goal> {
        let destination = self.destination?;
        let protocol = match (self.name, self.transport) {
            (_, Some(Transport::Udp)) => Protocol::Udp,
            (Some(_), _) => Protocol::Https,
            (None, _) => Protocol::Tcp,
        };
        Some(Goal {
            host: self
                .name
                .cloned()
                .map_or_else(|| Host::from(destination.ip()), Host::Name),
            port: destination.port(),
            protocol,
            request: None,
        })
    }

    fn summary(&self) -> String {
        let program = program(self.process);
        let target = match (self.path, self.goal()) {
            (Some(path), _) => format!("the unix socket {path}"),
            (None, Some(goal)) => format!("{} port {}", goal.host, goal.port),
            (None, None) => "the network".to_owned(),
        };
        format!(
            "The kernel refused {program} (process {}) the way to {target}: {}.",
            self.process.pid,
            self.reason.message()
        )
    }
}

fn refused_connection(refused: &Refused<'_>, desired: &Desired) -> Told {
    let Refused {
        agent,
        process,
        reason,
        identity,
        ..
    } = *refused;
    let summary = refused.summary();
    if process.level.is_none()
        && let Some(identity) = identity
    {
        let mut told = refused_process(agent, process, identity, listed(agent, process, desired));
        told.facts
            .push(format!("it is not the agent: {}", identity.message()));
        return Told { summary, ..told };
    }
    let mut facts = vec![known(agent, process)];
    if process.reason == Some(AttestationReason::DigestMismatch) {
        facts.extend(digests(agent, process, listed(agent, process, desired)));
    }
    let mut remedy = remedy::of_connection(agent, reason, refused.path);
    let mut yaml = remedy::connection_yaml(agent, reason, refused.path);
    let is_granted = matches!(
        reason,
        ConnectionReason::NoGrant
            | ConnectionReason::GrantEnded
            | ConnectionReason::EvidenceTooLow
            | ConnectionReason::OtherListener
    );
    if let Some(goal) = refused.goal().filter(|_| is_granted) {
        facts.extend(grants::facts(agent, &goal, desired));
        match grants::document(agent, &goal, process.level, desired) {
            Ok(document) => yaml = document.yaml(),
            Err(why) => why.clone_into(&mut remedy),
        }
    }
    if let (ConnectionReason::EvidenceTooLow, Some(why)) = (reason, process.reason) {
        remedy += "; to be known better: ";
        remedy += &remedy::of_identity(agent, why);
    }
    Told {
        summary,
        facts,
        remedy,
        yaml,
    }
}

/// How well a process is known, and why no better.
fn known(agent: &ObjectKey, process: &Process) -> String {
    let program = program(process);
    match (process.level, process.reason) {
        (Some(level), Some(why)) => format!(
            "{program} is known as {agent} at the level {level}, no better ({why}): {}",
            why.message()
        ),
        (Some(level), None) => format!("{program} is known as {agent} at the level {level}"),
        (None, Some(why)) => format!("{program} has no identity ({why}): {}", why.message()),
        (None, None) => format!("nothing is known of {program}"),
    }
}

fn program(process: &Process) -> &str {
    process.path.as_deref().unwrap_or("a process")
}

/// What is listed for the path of a process.
fn listed(agent: &ObjectKey, process: &Process, desired: &Desired) -> Option<Sha256Digest> {
    let path = process.path.as_deref()?;
    let agent = desired.agents.get(agent)?;
    let selector = agent
        .processes
        .iter()
        .find(|selector| selector.path.as_str() == path)?;
    Some(selector.sha256)
}

fn refused_name(agent: &ObjectKey, name: &str, desired: &Desired) -> Told {
    let plain = name.trim_end_matches('.');
    let summary = format!(
        "The name {plain} does not exist for the agent {agent}: no grant of it names that host."
    );
    let Ok(host) = plain.parse::<Host>() else {
        return Told {
            summary,
            remedy: "no grant can name that host".to_owned(),
            ..Told::default()
        };
    };
    let goal = Goal {
        protocol: usual_protocol(&host),
        host,
        port: 443,
        request: None,
    };
    ungranted(agent, &goal, None, summary, desired)
}

fn refused_request(
    agent: &ObjectKey,
    process: &Process,
    request: &Request,
    reason: RefusalReason,
    desired: &Desired,
) -> Told {
    let Request {
        host,
        port,
        method,
        path,
        mcp,
    } = request;
    let summary = format!(
        "The broker refused {} (process {}) a request, {method} {path} of {host} port {port}: {}.",
        program(process),
        process.pid,
        reason.message()
    );
    let summary = match mcp {
        Some(call) => format!("{summary} It was {}.", said(call)),
        None => summary,
    };
    let goal = Goal {
        host: host.clone(),
        port: *port,
        protocol: usual_protocol(host),
        request: Some(Asked {
            method: method.clone(),
            path: path.clone(),
            query: String::new(),
        }),
    };
    let mut told = ungranted(agent, &goal, process.level, summary, desired);
    if let Some(remedy) = remedy::of_request(reason) {
        remedy.clone_into(&mut told.remedy);
        told.yaml = String::new();
    }
    told.facts.insert(0, known(agent, process));
    told
}

fn said(call: &McpCall) -> String {
    match &call.tool {
        Some(tool) => format!("the MCP method {} of the tool {tool}", call.method),
        None => format!("the MCP method {}", call.method),
    }
}

const fn usual_protocol(host: &Host) -> Protocol {
    match host {
        Host::Name(_) => Protocol::Https,
        Host::Address(_) | Host::Network(_) => Protocol::Tcp,
    }
}

/// What would open a goal.
fn ungranted(
    agent: &ObjectKey,
    goal: &Goal,
    requires: Option<EvidenceLevel>,
    summary: String,
    desired: &Desired,
) -> Told {
    let facts = grants::facts(agent, goal, desired);
    match grants::document(agent, goal, requires, desired) {
        Ok(document) => Told {
            summary,
            facts,
            remedy: remedy::of_connection(agent, ConnectionReason::NoGrant, None),
            yaml: document.yaml(),
        },
        Err(why) => Told {
            summary,
            facts,
            remedy: why.to_owned(),
            yaml: String::new(),
        },
    }
}

#[cfg(test)]
mod tests;

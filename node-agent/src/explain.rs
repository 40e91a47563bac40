//! What a record means, for a person: why, and what to do about it. No I/O.

use lanyard_access::{
    desired::Desired,
    digest::Sha256Digest,
    host::Host,
    object::ObjectKey,
    reason::{AttestationReason, ConnectionReason, RefusalReason},
};
use lanyard_protocol::{
    control::Explanation,
    record::{Event, Process, Record},
};

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
        } => {
            let host = name
                .clone()
                .map(Host::Name)
                .or(destination.map(|to| Host::Address(to.ip())));
            let port = destination.map(|to| to.port());
            let agent = &scope.agent;
            refused_connection(
                agent,
                process,
                host.as_ref(),
                port,
                *reason,
                *identity,
                desired,
            )
        }
        Event::NameRefused { scope, name } => refused_name(&scope.agent, name, desired),
        Event::RequestRefused {
            scope,
            process,
            request,
            reason,
        } => refused_request(
            &scope.agent,
            process,
            &request.host,
            request.port,
            *reason,
            desired,
        ),
        Event::ScopeStarted { .. }
        | Event::ScopeEnded { .. }
        | Event::ProcessAttested { .. }
        | Event::ConnectionAllowed { .. }
        | Event::RequestIntended { .. }
        | Event::RequestEnded { .. }
        | Event::GrantChanged { .. }
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
    if let Some(digest) = process.sha256 {
        facts.push(format!("the SHA-256 of what it executed is {digest}"));
    }
    if let Some(digest) = listed {
        facts.push(format!(
            "AgentIdentity {agent} lists {digest} for that path"
        ));
    }
    Told {
        summary: format!("{path} is not the agent {agent}: {}.", reason.message()),
        facts,
        remedy: identity_remedy(agent, reason),
        yaml: identity_yaml(agent, process, reason),
    }
}

fn identity_remedy(agent: &ObjectKey, reason: AttestationReason) -> String {
    match reason {
        AttestationReason::NotListed => {
            format!("list the file under workloadSelector.processes of AgentIdentity {agent}")
        }
        AttestationReason::DigestMismatch => format!(
            "if the change was yours, put the new digest into AgentIdentity {agent}; if not, find out who changed the file"
        ),
        AttestationReason::Entered
        | AttestationReason::OtherFile
        | AttestationReason::NotObserved => {
            format!("start the agent anew with: lanyard run --as {agent} -- COMMAND")
        }
        AttestationReason::Unnamed
        | AttestationReason::Unreadable
        | AttestationReason::Changed
        | AttestationReason::Filesystem
        | AttestationReason::TooLarge => {
            "execute the agent from a file on a local filesystem that does not change while it runs"
                .to_owned()
        }
    }
}

fn identity_yaml(agent: &ObjectKey, process: &Process, reason: AttestationReason) -> String {
    let can_be_listed = matches!(
        reason,
        AttestationReason::NotListed | AttestationReason::DigestMismatch
    );
    match (&process.path, process.sha256) {
        (Some(path), Some(digest)) if can_be_listed => format!(
            "# in AgentIdentity {agent}\nspec:\n  workloadSelector:\n    processes:\n      - name: agent\n        executable:\n          path: {path}\n          sha256: \"{digest}\"\n"
        ),
        _ => String::new(),
    }
}

fn refused_connection(
    agent: &ObjectKey,
    process: &Process,
    host: Option<&Host>,
    port: Option<u16>,
    reason: ConnectionReason,
    identity: Option<AttestationReason>,
    desired: &Desired,
) -> Told {
    let path = process.path.as_deref().unwrap_or("a process");
    let target = match (host, port) {
        (Some(host), Some(port)) => format!("{host} port {port}"),
        _ => "the network".to_owned(),
    };
    let summary = format!(
        "The kernel refused {path} (process {}) the way to {target}: {}.",
        process.pid,
        reason.message()
    );
    if let Some(identity) = identity {
        let mut told = refused_process(agent, process, identity, listed(agent, process, desired));
        told.facts
            .push(format!("it is not the agent: {}", identity.message()));
        return Told { summary, ..told };
    }
    let (facts, remedy, yaml) = match (reason, host, port) {
        (ConnectionReason::NoGrant | ConnectionReason::GrantEnded, Some(host), Some(port)) => (
            grants_for(agent, host, port, desired),
            grant_remedy(agent),
            grant_yaml(agent, host, port),
        ),
        (ConnectionReason::SocketKind, _, _) => (
            Vec::new(),
            "use TCP through a grant; other sockets are not made inside a scope".to_owned(),
            String::new(),
        ),
        _ => (
            Vec::new(),
            "look at `lanyard status`".to_owned(),
            String::new(),
        ),
    };
    Told {
        summary,
        facts,
        remedy,
        yaml,
    }
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
    let host: Result<Host, _> = plain.parse();
    Told {
        summary: format!(
            "The name {plain} does not exist for the agent {agent}: no grant of it names that host."
        ),
        facts: host
            .as_ref()
            .map_or_else(|_| Vec::new(), |host| grants_for(agent, host, 443, desired)),
        remedy: grant_remedy(agent),
        yaml: host
            .map(|host| grant_yaml(agent, &host, 443))
            .unwrap_or_default(),
    }
}

fn refused_request(
    agent: &ObjectKey,
    process: &Process,
    host: &Host,
    port: u16,
    reason: RefusalReason,
    desired: &Desired,
) -> Told {
    let path = process.path.as_deref().unwrap_or("a process");
    Told {
        summary: format!(
            "The broker refused {path} (process {}) a request to {host} port {port}: {}.",
            process.pid,
            reason.message()
        ),
        facts: grants_for(agent, host, port, desired),
        remedy: grant_remedy(agent),
        yaml: grant_yaml(agent, host, port),
    }
}

fn grants_for(agent: &ObjectKey, host: &Host, port: u16, desired: &Desired) -> Vec<String> {
    let live = desired
        .agents
        .get(agent)
        .map_or(&[][..], |agent| &agent.grants);
    let mut facts: Vec<String> = live
        .iter()
        .filter(|grant| grant.resource.host == *host && grant.resource.port.get() == port)
        .map(|grant| {
            format!(
                "AccessGrant {} is live until {} and demands {}",
                grant.key, grant.ends_at, grant.requires
            )
        })
        .collect();
    let of_agent = desired
        .grants
        .iter()
        .filter(|(_, standing)| standing.identity == *agent);
    let ended = of_agent.filter(|(key, _)| live.iter().all(|grant| grant.key != **key));
    facts.extend(ended.map(|(key, standing)| {
        format!(
            "AccessGrant {key} gives nothing: {}",
            standing.reason.message()
        )
    }));
    facts
}

fn grant_remedy(agent: &ObjectKey) -> String {
    format!(
        "if {agent} should reach it, write a grant like the one below and pass it to `lanyard up -f`"
    )
}

fn grant_yaml(agent: &ObjectKey, host: &Host, port: u16) -> String {
    let protocol = match host {
        Host::Name(_) => "HTTPS",
        Host::Address(_) => "TCP",
    };
    format!(
        "apiVersion: lanyard.dev/v1alpha1\nkind: AccessGrant\nmetadata:\n  name: {}-new\n  namespace: {}\nspec:\n  identityRef:\n    name: {}\n  resource:\n    host: \"{host}\"\n    port: {port}\n    protocol: {protocol}\n  duration: 1h\n",
        agent.name, agent.namespace, agent.name
    )
}

#[cfg(test)]
mod tests;

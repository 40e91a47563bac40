//! The words for the parts of an event.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use lanyard_access::{
    digest::Sha256Digest,
    host::{DnsName, Host},
    object::ObjectKey,
    reason::{AttestationReason, ConnectionReason},
};
use lanyard_protocol::record::{
    McpCall, ObjectChange, Outcome, Process, Request, ScopeRef, Transport,
};

pub(super) fn named(scope: &ScopeRef) -> String {
    format!("scope {} of uid {}", scope.name, scope.uid)
}

pub(super) fn scope_started(scope: &ScopeRef, program: &str, observed: bool) -> String {
    let observed = if observed { ", observed" } else { "" };
    format!("{} starts{observed}: {program}", named(scope))
}

/// What was let pass because the agent is only observed.
pub(super) fn observed(
    destination: SocketAddr,
    transport: Transport,
    name: Option<&DnsName>,
) -> String {
    let transport = match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    let to = connection(Some(destination), name);
    format!("observed: {to} over {transport}")
}

pub(super) fn looked_up(name: &DnsName, addresses: &[IpAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("observed: look up {name}: {}", addresses.join(", "))
}

pub(super) const fn change_name(change: ObjectChange) -> &'static str {
    match change {
        ObjectChange::Created => "created",
        ObjectChange::Configured => "configured",
        ObjectChange::Deleted => "deleted",
        ObjectChange::Requested => "requested",
        ObjectChange::Approved => "approved",
        ObjectChange::Rejected => "rejected",
    }
}

pub(super) fn connection(destination: Option<SocketAddr>, name: Option<&DnsName>) -> String {
    match (destination, name) {
        (Some(address), Some(name)) => format!("connect to {name} at {address}"),
        (Some(address), None) => format!("connect to {address}"),
        (None, Some(name)) => format!("connect to {name}"),
        (None, None) => "open a socket".to_owned(),
    }
}

pub(super) fn not_connected(
    reason: ConnectionReason,
    identity: Option<AttestationReason>,
) -> String {
    match identity {
        Some(why) => format!("{reason}({why})"),
        None => reason.to_string(),
    }
}

pub(super) fn intended(request: &Request, credential: Option<&ObjectKey>) -> String {
    match credential {
        Some(key) => format!("{} with credential {key}", asked(request)),
        None => asked(request),
    }
}

pub(super) fn replied(status: Option<u16>) -> String {
    status.map_or_else(|| "no reply".to_owned(), |code| format!("status {code}"))
}

pub(super) fn changed(ends_at: Option<Timestamp>, by: Option<&str>) -> String {
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let ends = ends_at.map(|at| format!(", end {at:.3}"));
    format!("grant changed{by}{}", ends.unwrap_or_default())
}

pub(super) fn started(version: &str, adopted: bool) -> String {
    let adopted = if adopted {
        ", and took over what was enforced"
    } else {
        ""
    };
    format!("node agent {version} started{adopted}")
}

pub(super) fn attested(process: &Process) -> String {
    match (process.level, process.reason) {
        (Some(level), Some(reason)) => format!("is the agent ({level}: {reason})"),
        (Some(level), None) => format!("is the agent ({level})"),
        (None, _) => "is the agent".to_owned(),
    }
}

pub(super) fn not_attested(process: &Process, listed: Option<&Sha256Digest>) -> String {
    match (&process.sha256, listed) {
        (Some(found), Some(listed)) => {
            format!("is not the agent: it has SHA-256 {found}, listed is {listed}")
        }
        (None, Some(listed)) => format!("is not the agent: listed is SHA-256 {listed}"),
        (_, None) => "is not the agent".to_owned(),
    }
}

pub(super) fn asked(request: &Request) -> String {
    let Request {
        method,
        host,
        port,
        path,
        mcp,
    } = request;
    let place = match host {
        Host::Address(IpAddr::V6(address)) => format!("{method} [{address}]:{port}{path}"),
        Host::Address(IpAddr::V4(address)) => format!("{method} {address}:{port}{path}"),
        Host::Network(network) => format!("{method} {network}:{port}{path}"),
        Host::Name(name) => format!("{method} {name}:{port}{path}"),
    };
    match mcp {
        Some(McpCall {
            method,
            tool: Some(tool),
        }) => format!("{place} ({method} {tool})"),
        Some(McpCall { method, tool: None }) => format!("{place} ({method})"),
        None => place,
    }
}

pub(super) fn joined(grants: &[ObjectKey]) -> String {
    let grants: Vec<_> = grants.iter().map(ToString::to_string).collect();
    grants.join(",")
}

pub(super) const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "Completed",
        Outcome::CutByLimit => "CutByLimit",
        Outcome::CutByGrantEnd => "CutByGrantEnd",
        Outcome::ClosedByAgent => "ClosedByAgent",
        Outcome::ClosedByService => "ClosedByService",
        Outcome::BrokerEnded => "BrokerEnded",
        Outcome::ServiceUnreachable => "ServiceUnreachable",
        Outcome::CredentialUnavailable => "CredentialUnavailable",
    }
}

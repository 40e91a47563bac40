//! One request, answered.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::{
    condition::{self, Condition, Facts},
    desired::{DesiredAgent, LiveGrant},
    evidence::EvidenceLevel,
    grant::{Protocol, Tls},
    host::Host,
    http::{self, HttpRequest, Mcp},
    object::ObjectKey,
    port::Port,
    reason::RefusalReason,
};

/// What a process of an agent asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// How well the process is known.
    pub level: EvidenceLevel,
    /// Where it wants to go.
    pub host: &'a Host,
    /// On which port.
    pub port: Port,
    /// What it wants there.
    pub asks: Asks<'a>,
}

/// What is asked of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks<'a> {
    /// To speak that protocol. What is said in it is not known, or not yet.
    Protocol(Protocol),
    /// To carry TLS that nobody ends on the way.
    Passthrough,
    /// One HTTP request.
    Http(&'a HttpRequest<'a>),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Yes, under this grant and until it ends.
    Allow(&'a LiveGrant),
    /// No.
    Refuse(Refusal<'a>),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// What stands nearest in the way.
    pub reason: RefusalReason,
    /// The grant that it is about, if it is about one.
    pub grant: Option<&'a LiveGrant>,
    /// The condition of that grant that it is about, if it is about one.
    pub condition: Option<&'a Condition>,
}

/// Decides `request` of the agent that `agent` describes.
///
/// An address is opened by a grant for a network that holds it, too.
///
/// Of several grants that allow it, one with a credential goes first, then the one that ends last, then
/// the first by name: the same request always gets the same grant.
pub fn decide<'a>(agent: &'a DesiredAgent, request: &Request<'_>, now: Timestamp) -> Decision<'a> {
    let mut refusal = Refusal {
        reason: RefusalReason::NoGrant,
        grant: None,
        condition: None,
    };
    let best = agent
        .grants
        .iter()
        .filter(|grant| match refusal_of(agent, grant, request, now) {
            None => true,
            Some((RefusalReason::NoGrant, _)) => false,
            Some((reason, condition)) => {
                let found = Refusal {
                    reason,
                    grant: Some(grant),
                    condition,
                };
                if nearness(&found) > nearness(&refusal) {
                    refusal = found;
                }
                false
            }
        })
        .min_by_key(|grant| {
            (
                grant.credential.is_none(),
                Reverse(grant.ends_at),
                &grant.key,
            )
        });
    best.map_or(Decision::Refuse(refusal), Decision::Allow)
}

fn refusal_of<'a>(
    agent: &DesiredAgent,
    grant: &'a LiveGrant,
    request: &Request<'_>,
    now: Timestamp,
) -> Option<(RefusalReason, Option<&'a Condition>)> {
    if let Some(reason) = refusal_of_connection(grant, request, now) {
        return Some((reason, None));
    }
    let asked = match request.asks {
        Asks::Protocol(_) | Asks::Passthrough => return None,
        Asks::Http(asked) => asked,
    };
    let by_rules = http::refusal_of(&grant.resource.http, asked)
        .or_else(|| refusal_of_message(grant, asked.mcp));
    if let Some(reason) = by_rules {
        return Some((reason, None));
    }
    let facts = Facts {
        agent: &agent.key,
        level: request.level,
        host: request.host,
        port: request.port,
        request: asked,
    };
    let (reason, condition) = condition::refusal_of(&grant.resource.conditions, facts)?;
    Some((reason, Some(condition)))
}

fn refusal_of_connection(
    grant: &LiveGrant,
    request: &Request<'_>,
    now: Timestamp,
) -> Option<RefusalReason> {
    if !opens(grant, request) {
        return Some(RefusalReason::NoGrant);
    }
    if !speaks(grant, request.asks) {
        return Some(RefusalReason::WrongProtocol);
    }
    if grant.ends_at <= now {
        return Some(RefusalReason::GrantEnded);
    }
    (request.level < grant.requires).then_some(RefusalReason::EvidenceTooLow)
}

fn refusal_of_message(grant: &LiveGrant, message: Mcp<'_>) -> Option<RefusalReason> {
    if grant.resource.protocol != Protocol::Mcp {
        return None;
    }
    match message {
        Mcp::NoMessage => None,
        Mcp::Message(message) => grant.resource.mcp.refusal_of(message),
        Mcp::Unread | Mcp::NotUnderstood => Some(RefusalReason::McpNotUnderstood),
    }
}

fn opens(grant: &LiveGrant, request: &Request<'_>) -> bool {
    let resource = &grant.resource;
    let plain_port = match request.asks {
        Asks::Http(asked) if !asked.is_encrypted => resource.plain_port(),
        Asks::Http(_) | Asks::Protocol(_) | Asks::Passthrough => None,
    };
    let is_port = resource.port == request.port || plain_port == Some(request.port);
    is_port && resource.host.opens(request.host)
}

fn speaks(grant: &LiveGrant, asks: Asks<'_>) -> bool {
    let (protocol, tls) = (grant.resource.protocol, grant.resource.tls);
    match asks {
        // To the connection, MCP is HTTPS.
        Asks::Protocol(Protocol::Https) => matches!(protocol, Protocol::Https | Protocol::Mcp),
        Asks::Protocol(asked) => protocol == asked,
        Asks::Passthrough => protocol == Protocol::Https && tls == Tls::Passthrough,
        // A client that does not speak TLS may be led to a service that does, and never the reverse.
        Asks::Http(asked) => match protocol {
            Protocol::Https | Protocol::Mcp => tls == Tls::Terminate,
            Protocol::Http => !asked.is_encrypted,
            Protocol::Tcp | Protocol::Udp => false,
        },
    }
}

/// Of two as near to a yes, that of the first grant by name.
fn nearness<'a>(refusal: &Refusal<'a>) -> (u8, Option<Reverse<&'a ObjectKey>>) {
    let key = refusal.grant.map(|grant| Reverse(&grant.key));
    (rank(refusal.reason), key)
}

/// How near a refusal is to a yes, so that `explain` names what really stands in the way.
const fn rank(reason: RefusalReason) -> u8 {
    match reason {
        // The last three are found elsewhere: in the request itself, or where uses are counted.
        RefusalReason::NoGrant
        | RefusalReason::HostMismatch
        | RefusalReason::NotCarried
        | RefusalReason::UsedUp => 0,
        RefusalReason::WrongProtocol => 1,
        RefusalReason::GrantEnded => 2,
        RefusalReason::EvidenceTooLow => 3,
        RefusalReason::PathNotUnderstood => 4,
        RefusalReason::PathNotGranted => 5,
        RefusalReason::MethodNotGranted => 6,
        RefusalReason::McpNotUnderstood => 7,
        RefusalReason::McpMethodNotGranted => 8,
        RefusalReason::ToolNotGranted => 9,
        RefusalReason::ConditionNotDecided => 10,
        RefusalReason::ConditionNotMet => 11,
    }
}

#[cfg(test)]
mod tests;

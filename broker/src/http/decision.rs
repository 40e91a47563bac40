//! One request, put to the rules of its scope.

use http::{HeaderMap, request};
use lanyard_access::{
    decide::{Asks, Decision, Request, decide as decide_request},
    desired::LiveGrant,
    grant::Protocol,
    host::Host,
    http::{HttpRequest, Mcp},
    object::ObjectKey,
    path::RequestPath,
    reason::RefusalReason,
};

use super::{Wire, request::Target};
use crate::{broker::Broker, clock};

/// What the rules said no with.
pub(super) struct Refused {
    pub(super) reason: RefusalReason,
    /// The grant that came nearest to allowing it.
    pub(super) grant: Option<ObjectKey>,
    /// The words of who wrote the grant.
    pub(super) message: Option<String>,
}

/// The grant that a request is carried under. Its headers are those that are carried on.
pub(super) fn decide(
    broker: &Broker,
    wire: &Wire,
    head: &request::Parts,
    target: &Target,
    mcp: Mcp<'_>,
) -> Result<LiveGrant, Refused> {
    let scope = broker.scope();
    let has_conditions =
        of_host(&scope.agent.grants, wire).any(|grant| !grant.resource.conditions.is_empty());
    let headers = has_conditions.then(|| texts_of(&head.headers)).flatten();
    let asked = HttpRequest {
        is_encrypted: wire.is_encrypted,
        method: head.method.as_str(),
        path: RequestPath::parse(target.uri.path()),
        query: target.uri.query().unwrap_or_default(),
        headers: headers.as_deref(),
        mcp,
    };
    let asked = Request {
        level: wire.client.level,
        host: &Host::Name(wire.name.clone()),
        port: wire.client.port,
        asks: Asks::Http(&asked),
    };
    match decide_request(&scope.agent, &asked, clock::boot_now()) {
        Decision::Allow(grant) => Ok(grant.clone()),
        Decision::Refuse(refusal) => Err(Refused {
            reason: refusal.reason,
            grant: refusal.grant.map(|grant| grant.key.clone()),
            message: refusal
                .condition
                .and_then(|condition| condition.message.clone()),
        }),
    }
}

/// Whether some grant for MCP is for this host, so that messages have to be read.
pub(super) fn reads_messages(broker: &Broker, wire: &Wire) -> bool {
    of_host(&broker.scope().agent.grants, wire)
        .any(|grant| grant.resource.protocol == Protocol::Mcp)
}

fn of_host<'g>(grants: &'g [LiveGrant], wire: &'g Wire) -> impl Iterator<Item = &'g LiveGrant> {
    grants
        .iter()
        .filter(|grant| matches!(&grant.resource.host, Host::Name(name) if *name == wire.name))
}

/// The headers as text; nothing when one of them is none.
fn texts_of(headers: &HeaderMap) -> Option<Vec<(&str, &str)>> {
    let texts = headers
        .iter()
        .map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    texts.collect()
}

//! What would happen: `lanyard explain --as NAME URL`.

use jiff::Timestamp;
use lanyard_access::{
    decide::{Asks, Decision, Request, decide},
    desired::{Desired, DesiredAgent},
    evidence::EvidenceLevel,
    grant::Protocol,
    http::{HttpRequest, Mcp},
    identity::Enforcement,
    object::ObjectKey,
    path::RequestPath,
    port::Port,
    reason::RefusalReason,
};
use lanyard_protocol::control::Explanation;

use super::grants::{self, Asked, Goal};

/// Why an attempt is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// There is no such agent.
    #[error("there is no AgentIdentity {0}")]
    NoAgent(ObjectKey),
    /// The port is none.
    #[error("{0} is no port")]
    Port(u32),
}

/// Whether an agent would be let to a goal at `now`, at each level of evidence, and what would let it.
pub(super) fn would(
    key: &ObjectKey,
    goal: &Goal,
    desired: &Desired,
    now: Timestamp,
) -> Result<Explanation, AttemptError> {
    let agent = desired
        .agents
        .get(key)
        .ok_or_else(|| AttemptError::NoAgent(key.clone()))?;
    let port = Port::new(goal.port.into()).map_err(|_| AttemptError::Port(u32::from(goal.port)))?;
    let http = goal.request.as_ref().map(|request| HttpRequest {
        is_encrypted: goal.protocol == Protocol::Https,
        method: &request.method,
        path: RequestPath::parse(&request.path),
        query: &request.query,
        headers: None,
        mcp: Mcp::Unread,
    });
    let answers: Vec<_> = EvidenceLevel::ALL
        .into_iter()
        .rev()
        .map(|level| {
            let request = Request {
                level,
                host: &goal.host,
                port,
                asks: match &http {
                    Some(http) => Asks::Http(http),
                    None => Asks::Protocol(goal.protocol),
                },
            };
            (level, decide(agent, &request, now))
        })
        .collect();
    let mut facts: Vec<String> = answers
        .iter()
        .map(|(level, answer)| at_level(*level, answer))
        .collect();
    facts.extend(grants::facts(key, goal, desired));
    if agent.enforcement == Enforcement::Observe {
        facts.push("this agent is only observed: nothing is refused to it".to_owned());
    }
    let weakest = answers
        .iter()
        .rev()
        .find(|(_, answer)| matches!(answer, Decision::Allow(_)));
    Ok(match weakest {
        Some((level, _)) => Explanation {
            summary: format!(
                "{key} may go to {}, with processes that are known at the level {level} or better.",
                named(goal)
            ),
            facts,
            ..Explanation::default()
        },
        None => refused(agent, goal, &answers, desired, facts),
    })
}

fn refused(
    agent: &DesiredAgent,
    goal: &Goal,
    answers: &[(EvidenceLevel, Decision<'_>)],
    desired: &Desired,
    facts: Vec<String>,
) -> Explanation {
    let key = &agent.key;
    let reason = match answers.first() {
        Some((_, Decision::Refuse(refusal))) => refusal.reason,
        Some((_, Decision::Allow(_))) | None => RefusalReason::NoGrant,
    };
    let document = grants::document(key, goal, None, desired);
    let remedy = match &document {
        Ok(_) => format!(
            "if {key} should reach it, write a grant like the one below and pass it to `lanyard apply -f`"
        ),
        Err(why) => (*why).to_owned(),
    };
    Explanation {
        summary: format!("{key} may not go to {}: {}.", named(goal), reason.message()),
        facts,
        remedy,
        yaml: document.map(|document| document.yaml()).unwrap_or_default(),
        ..Explanation::default()
    }
}

fn at_level(level: EvidenceLevel, answer: &Decision<'_>) -> String {
    match answer {
        Decision::Allow(grant) => format!(
            "at the level {level}: allowed by AccessGrant {} until {}{}",
            grant.key,
            grant.ends_at,
            grant
                .credential
                .as_ref()
                .map(|credential| format!(", with the credential {}", credential.source))
                .unwrap_or_default()
        ),
        Decision::Refuse(refusal) => {
            format!(
                "at the level {level}: refused, {}",
                refusal.reason.message()
            )
        }
    }
}

fn named(goal: &Goal) -> String {
    let protocol = goal.protocol.as_str();
    let place = format!("{} port {} over {protocol}", goal.host, goal.port);
    match &goal.request {
        Some(Asked { method, path, .. }) => format!("{place} with {method} {path}"),
        None => place,
    }
}

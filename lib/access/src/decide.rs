//! One request, answered.

use std::cmp::Reverse;

use jiff::Timestamp;

use crate::{
    desired::{DesiredAgent, LiveGrant},
    evidence::EvidenceLevel,
    grant::Protocol,
    host::Host,
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
    /// How it speaks.
    pub protocol: Protocol,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Yes, under this grant and until it ends.
    Allow(&'a LiveGrant),
    /// No, for this reason.
    Refuse(RefusalReason),
}

/// Decides `request` of the agent that `agent` describes.
///
/// An address is opened by a grant for a network that holds it, too.
///
/// Of several grants that allow it, one with a credential goes first, then the one that ends last, then
/// the first by name: the same request always gets the same grant.
pub fn decide<'a>(agent: &'a DesiredAgent, request: &Request<'_>, now: Timestamp) -> Decision<'a> {
    let mut refusal = RefusalReason::NoGrant;
    let best = agent
        .grants
        .iter()
        .filter(|grant| match refusal_of(grant, request, now) {
            None => true,
            Some(reason) => {
                refusal = nearest(refusal, reason);
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

fn refusal_of(grant: &LiveGrant, request: &Request<'_>, now: Timestamp) -> Option<RefusalReason> {
    if !grant.resource.host.opens(request.host) || grant.resource.port != request.port {
        return Some(RefusalReason::NoGrant);
    }
    if grant.resource.protocol != request.protocol {
        return Some(RefusalReason::WrongProtocol);
    }
    if grant.ends_at <= now {
        return Some(RefusalReason::GrantEnded);
    }
    (request.level < grant.requires).then_some(RefusalReason::EvidenceTooLow)
}

/// Of two reasons the one nearer to a yes, so that `explain` names what really stands in the way.
fn nearest(one: RefusalReason, other: RefusalReason) -> RefusalReason {
    const fn rank(reason: RefusalReason) -> u8 {
        match reason {
            // The last two are the broker's own, about a request and not about grants.
            RefusalReason::NoGrant | RefusalReason::HostMismatch | RefusalReason::NotCarried => 0,
            RefusalReason::WrongProtocol => 1,
            RefusalReason::GrantEnded => 2,
            RefusalReason::EvidenceTooLow => 3,
        }
    }
    if rank(other) > rank(one) { other } else { one }
}

#[cfg(test)]
mod tests;

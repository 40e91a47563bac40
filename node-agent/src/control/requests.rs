//! `lanyard request`, `approve` and `deny`.

use lanyard_access::object::ObjectKey;
use lanyard_protocol::{
    control::{Ask, Asked, Decide, reply},
    record::{Event, ObjectChange},
};
use tokio::net::UnixStream;

use super::{
    Denied, Outcome, caller, denied,
    objects::{Objects, being_ended},
    peer::Peer,
    say,
};
use crate::{
    callers::{Caller, Callers},
    kernel::clock::Moment,
    node::{Node, Shared},
    user,
};

/// What is asked for.
const KIND: &str = "AccessGrant";

/// An agent asks for itself; whoever may run it asks for it, too.
pub(super) async fn ask(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    objects: &dyn Objects,
    peer: &Peer,
    mut asked: Ask,
) -> Outcome {
    let caller = caller(node, peer);
    let now = Moment::now();
    let written = {
        let mut node = node.borrow_mut();
        let agent = match asks_for(&node, callers, &caller, &asked.agent) {
            Ok(agent) => agent,
            Err(refused) => return Ok(Err(refused)),
        };
        if node.draining {
            return Ok(Err(being_ended()));
        }
        asked.agent = agent.to_string();
        let by = requester(&node, &caller, peer);
        let written = objects.ask(&mut node, &asked, &by, now);
        if let Ok((grant, true)) = &written {
            changed(&mut node, grant, ObjectChange::Requested, &by, now);
        }
        written
    };
    match written {
        Ok((grant, is_new)) => {
            let grant = grant.to_string();
            say(stream, reply::Reply::Asked(Asked { grant, is_new })).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

pub(super) async fn decide(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    objects: &dyn Objects,
    peer: &Peer,
    asked: &Decide,
) -> Outcome {
    let caller = caller(node, peer);
    if caller.scope.is_some() || !callers.is_admin(&caller) {
        return Ok(Err(denied(
            "you may not decide about grants here",
            "ask root, or an admin of the local policy",
        )));
    }
    let now = Moment::now();
    let by = user::account(peer.uid).name;
    let decided = {
        let mut node = node.borrow_mut();
        if node.draining {
            return Ok(Err(being_ended()));
        }
        let decided = objects.decide(&mut node, asked, &by, now);
        if let Ok(decided) = &decided
            && let Ok(grant) = decided.grant.parse()
        {
            let change = if asked.approve {
                ObjectChange::Approved
            } else {
                ObjectChange::Rejected
            };
            changed(&mut node, &grant, change, &by, now);
        }
        decided
    };
    match decided {
        Ok(decided) => {
            say(stream, reply::Reply::Decided(decided)).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

/// The agent that the caller may ask for something for.
fn asks_for(
    node: &Node,
    callers: &dyn Callers,
    caller: &Caller,
    named: &str,
) -> Result<ObjectKey, Denied> {
    let scope = caller.scope.and_then(|scope| node.scopes.get(&scope));
    let own = scope.map(|scope| scope.agent.clone());
    let agent = match (named, own.clone()) {
        ("", Some(own)) => own,
        ("", None) => {
            let message = "no agent is named, and this is not within the scope of one";
            return Err(denied(message, "lanyard request ... --as NAME"));
        }
        (named, _) => named.parse().map_err(|error| {
            denied(
                format!("`{named}` is not the name of an AgentIdentity: {error}"),
                "",
            )
        })?,
    };
    let is_outside = caller.scope.is_none();
    let may = is_outside && (callers.is_admin(caller) || callers.may_run(caller, &agent));
    if own.as_ref() != Some(&agent) && !may {
        return Err(denied(
            format!("you may not ask for access for {agent}"),
            "ask root, or who may run that agent",
        ));
    }
    if !node.compiler.desired().agents.contains_key(&agent) {
        return Err(denied(
            format!("there is no AgentIdentity {agent}"),
            "`lanyard status` shows what there is",
        ));
    }
    Ok(agent)
}

fn requester(node: &Node, caller: &Caller, peer: &Peer) -> String {
    let name = user::account(peer.uid).name;
    let scope = caller.scope.and_then(|scope| node.scopes.get(&scope));
    match scope {
        Some(scope) => format!("{} of {name}, in scope {}", scope.agent, scope.name),
        None => name,
    }
}

/// The record and the kernel have it before the caller is told.
fn changed(node: &mut Node, grant: &ObjectKey, change: ObjectChange, by: &str, now: Moment) {
    let event = Event::ObjectChanged {
        kind: KIND.to_owned(),
        object: grant.clone(),
        change,
        by: by.to_owned(),
    };
    node.record(event, now);
    node.apply(now, None);
}

//! `lanyard apply`, `get`, `delete` and `suggest`.

use lanyard_access::object::ObjectKey;
use lanyard_protocol::{
    control::{
        Apply, Ask, Changed, Decide, Decided, Delete, Get, ObjectChange, ObjectStatus,
        Objects as Found, Suggest, SuggestedGrant, Suggestion, reply,
    },
    record::{Event, ObjectChange as What},
};
use tokio::net::UnixStream;

use super::{Denied, Outcome, caller, denied, peer::Peer, say};
use crate::{
    callers::{Caller, Callers},
    kernel::clock::Moment,
    node::{Node, Shared},
    suggest, user,
};

/// The objects of a machine that can be written here.
pub trait Objects {
    /// Writes what the manifests say: all of it, or nothing.
    fn apply(&self, node: &mut Node, asked: &Apply, now: Moment) -> Result<Vec<Done>, Denied>;

    /// Removes objects: all of them, or none.
    fn delete(&self, node: &mut Node, asked: &Delete, now: Moment) -> Result<Vec<Done>, Denied>;

    /// Writes a grant that is asked for, unless the same is there; and whether it is new.
    fn ask(
        &self,
        node: &mut Node,
        asked: &Ask,
        by: &str,
        now: Moment,
    ) -> Result<(ObjectKey, bool), Denied>;

    /// Decides about a grant that was asked for.
    fn decide(
        &self,
        node: &mut Node,
        asked: &Decide,
        by: &str,
        now: Moment,
    ) -> Result<Decided, Denied>;

    /// The objects that are about agents which `sees` accepts; all of them without it.
    fn get(
        &self,
        node: &Node,
        asked: &Get,
        sees: Option<&dyn Fn(&ObjectKey) -> bool>,
        now: Moment,
    ) -> Result<Vec<ObjectStatus>, Denied>;
}

/// What was done with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Its kind.
    pub kind: String,
    /// Namespace and name.
    pub key: ObjectKey,
    /// What it is now; nothing when it is as before.
    pub change: Option<What>,
}

impl Done {
    fn told(&self) -> ObjectChange {
        let change = match self.change {
            Some(What::Created) => "created",
            Some(What::Configured) => "configured",
            Some(What::Deleted) => "deleted",
            Some(What::Requested) => "requested",
            Some(What::Approved) => "approved",
            Some(What::Rejected) => "rejected",
            None => "unchanged",
        };
        ObjectChange {
            kind: self.kind.clone(),
            name: self.key.to_string(),
            change: change.to_owned(),
        }
    }
}

pub(super) async fn apply(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    objects: &dyn Objects,
    peer: &Peer,
    asked: &Apply,
) -> Outcome {
    let change = |node: &mut Node, now| objects.apply(node, asked, now);
    changed(stream, node, callers, peer, change).await
}

pub(super) async fn delete(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    objects: &dyn Objects,
    peer: &Peer,
    asked: &Delete,
) -> Outcome {
    let change = |node: &mut Node, now| objects.delete(node, asked, now);
    changed(stream, node, callers, peer, change).await
}

async fn changed(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    change: impl FnOnce(&mut Node, Moment) -> Result<Vec<Done>, Denied>,
) -> Outcome {
    let caller = caller(node, peer);
    if caller.scope.is_some() || !callers.is_admin(&caller) {
        return Ok(Err(denied(
            "you may not change objects here",
            "ask root, or an admin of the local policy",
        )));
    }
    let now = Moment::now();
    let done = {
        let mut node = node.borrow_mut();
        if node.draining {
            return Ok(Err(being_ended()));
        }
        match change(&mut node, now) {
            Ok(done) => {
                record(&mut node, &done, &user::account(peer.uid).name, now);
                // The kernel has it before the caller is told.
                node.apply(now, None);
                done
            }
            Err(refused) => return Ok(Err(refused)),
        }
    };
    let objects = done.iter().map(Done::told).collect();
    say(stream, reply::Reply::Changed(Changed { objects })).await?;
    Ok(Ok(()))
}

/// What is said while enforcement is being ended.
pub(super) fn being_ended() -> Denied {
    denied(
        "the node agent is being ended",
        "start it again with `lanyard up`",
    )
}

fn record(node: &mut Node, done: &[Done], by: &str, now: Moment) {
    for done in done {
        let Some(change) = done.change else { continue };
        let event = Event::ObjectChanged {
            kind: done.kind.clone(),
            object: done.key.clone(),
            change,
            by: by.to_owned(),
        };
        node.record(event, now);
    }
}

pub(super) async fn get(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    objects: &dyn Objects,
    peer: &Peer,
    asked: &Get,
) -> Outcome {
    let caller = caller(node, peer);
    if caller.scope.is_some() {
        return Ok(Err(denied(
            "a process inside a scope cannot see the objects of this machine",
            "ask from outside the scope",
        )));
    }
    let may_run = |agent: &ObjectKey| callers.may_run(&caller, agent);
    let sees: Option<&dyn Fn(&ObjectKey) -> bool> = if callers.is_admin(&caller) {
        None
    } else {
        Some(&may_run)
    };
    let found = objects.get(&node.borrow(), asked, sees, Moment::now());
    match found {
        Ok(objects) => {
            say(stream, reply::Reply::Objects(Found { objects })).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

pub(super) async fn suggest(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: &Suggest,
) -> Outcome {
    let caller = caller(node, peer);
    let suggested = suggestion(&node.borrow(), callers, &caller, asked, Moment::now());
    match suggested {
        Ok(suggestion) => {
            say(stream, reply::Reply::Suggestion(suggestion)).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

fn suggestion(
    node: &Node,
    callers: &dyn Callers,
    caller: &Caller,
    asked: &Suggest,
    now: Moment,
) -> Result<Suggestion, Denied> {
    let key: ObjectKey = asked.agent.parse().map_err(|error| {
        let message = format!(
            "`{}` is not the name of an AgentIdentity: {error}",
            asked.agent
        );
        denied(message, "")
    })?;
    let may = callers.is_admin(caller) || callers.may_run(caller, &key);
    if caller.scope.is_some() || !may {
        return Err(denied(
            format!("you may not see what {key} did"),
            "ask root, or who may run that agent, from outside any scope",
        ));
    }
    let Some(agent) = node.compiler.desired().agents.get(&key) else {
        return Err(denied(
            format!("there is no AgentIdentity {key}"),
            "`lanyard get AgentIdentity` shows what there is",
        ));
    };
    let taken = node.compiler.written().grants.keys().cloned().collect();
    let observed = node.observations.of(&key);
    let suggested = suggest::suggest(agent, &observed, &taken, now.wall);
    Ok(Suggestion {
        yaml: suggested.yaml(&key),
        grants: suggested
            .grants
            .iter()
            .map(|grant| SuggestedGrant {
                json: grant.json().to_string(),
                comment: grant.comments.join("\n"),
            })
            .collect(),
        remarks: suggested.remarks,
    })
}

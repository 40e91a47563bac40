//! `status`, `audit tail` and `revoke`.

use std::io;

use lanyard_access::{
    compile::Change, desired::GrantStanding, identity::Enforcement, object::ObjectKey,
    reason::GrantReason,
};
use lanyard_protocol::{
    control::{
        AgentStatus, Counter, GrantStatus, ProcessStatus, Revoke, Revoked, ScopeStatus, Status,
        Tail, reply,
    },
    record::Record,
};
use tokio::{net::UnixStream, sync::broadcast::error::RecvError};
use uuid::Uuid;

use super::{Denied, Outcome, caller, denied, peer::Peer, say};
use crate::{
    callers::{Caller, Callers},
    kernel::clock::Moment,
    node::{Node, Shared},
    record, user,
};

/// The most past lines one caller gets.
const MOST_LINES: usize = 100_000;

/// Root and admins see everything, others what their own scopes do, and a scope itself alone.
fn may_see(callers: &dyn Callers, caller: &Caller, node: &Node, scope: Option<&str>) -> bool {
    if caller.scope.is_none() && callers.is_admin(caller) {
        return true;
    }
    let Some(named) = scope else { return false };
    let scope = node.scopes.iter().find(|(_, scope)| scope.name == named);
    match (scope, caller.scope) {
        (Some((id, _)), Some(own)) => *id == own,
        (Some((_, scope)), None) => scope.uid == caller.uid,
        (None, _) => false,
    }
}

pub(super) fn may_see_record(
    callers: &dyn Callers,
    caller: &Caller,
    node: &Node,
    record: &Record,
) -> bool {
    let scope = record.event.scope();
    // A scope that has ended is its user's still.
    let is_own = caller.scope.is_none() && scope.is_some_and(|scope| scope.uid == caller.uid);
    is_own
        || may_see(
            callers,
            caller,
            node,
            scope.map(|scope| scope.name.as_str()),
        )
}

pub(super) async fn status(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
) -> Outcome {
    let caller = caller(node, peer);
    let status = status_for(&node.borrow(), callers, &caller, Moment::now());
    say(stream, reply::Reply::Status(status)).await?;
    Ok(Ok(()))
}

fn status_for(node: &Node, callers: &dyn Callers, caller: &Caller, now: Moment) -> Status {
    let sees_all = caller.scope.is_none() && callers.is_admin(caller);
    let desired = node.compiler.desired();
    let scopes: Vec<_> = node
        .scopes
        .iter()
        .filter(|(_, scope)| may_see(callers, caller, node, Some(&scope.name)))
        .collect();
    let sees_agent = |agent: &ObjectKey| {
        sees_all
            || scopes.iter().any(|(_, scope)| scope.agent == *agent)
            || callers.may_run(caller, agent)
    };
    let counters = if sees_all {
        node.counters()
    } else {
        Vec::new()
    };
    Status {
        node: node.place.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        map_abi: lanyard_node_agent_abi::VERSION,
        agents: desired
            .agents
            .values()
            .filter(|agent| sees_agent(&agent.key))
            .map(|agent| AgentStatus {
                agent: agent.key.to_string(),
                spiffe_id: node.spiffe_id_of(&agent.key),
                processes_listed: u32::try_from(agent.processes.len()).unwrap_or(u32::MAX),
                enforcement: enforcement_name(agent.enforcement).to_owned(),
            })
            .collect(),
        scopes: scopes
            .iter()
            .map(|(id, scope)| scope_status(node, **id, scope))
            .collect(),
        grants: desired
            .grants
            .iter()
            .filter(|(_, standing)| sees_agent(&standing.identity))
            .filter_map(|(key, _)| grant_status(node, key, now))
            .collect(),
        problems: if sees_all {
            node.problems.clone()
        } else {
            Vec::new()
        },
        counters: counters
            .into_iter()
            .map(|(name, value)| Counter {
                name: name.to_owned(),
                value,
            })
            .collect(),
    }
}

fn scope_status(node: &Node, id: u32, scope: &crate::scope::Scope) -> ScopeStatus {
    ScopeStatus {
        scope: scope.name.clone(),
        agent: scope.agent.to_string(),
        uid: scope.uid,
        broker_runs: node.brokers.contains_key(&id),
        enforcement: enforcement_name(if node.is_observed(scope) {
            Enforcement::Observe
        } else {
            Enforcement::Enforce
        })
        .to_owned(),
        processes: node
            .images
            .of_scope(id)
            .map(|image| {
                let process = image.process();
                ProcessStatus {
                    pid: process.pid,
                    path: process.path.unwrap_or_default(),
                    level: process
                        .level
                        .map(|level| level.to_string())
                        .unwrap_or_default(),
                    reason: process
                        .reason
                        .map(|reason| reason.to_string())
                        .unwrap_or_default(),
                }
            })
            .collect(),
    }
}

const fn enforcement_name(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforce => "Enforce",
        Enforcement::Observe => "Observe",
    }
}

/// Milliseconds that a grant still gives access on the boot clock.
pub fn time_left(node: &Node, standing: &GrantStanding, now: Moment) -> u64 {
    let spec = (standing.uid.clone(), standing.spec_hash);
    let deadline = node.deadlines.all().get(&spec).copied();
    let proposed = standing.ends_at.map(|end| now.boot_of(end));
    match (standing.reason, deadline.or(proposed)) {
        (GrantReason::Active, Some(deadline)) => deadline.saturating_sub(now.boot) / 1_000_000,
        _ => 0,
    }
}

fn grant_status(node: &Node, key: &ObjectKey, now: Moment) -> Option<GrantStatus> {
    let standing = node.compiler.desired().grants.get(key)?;
    let written = node.compiler.written().grants.get(key);
    let received = || {
        node.compiler
            .received_grant(key)
            .map(|grant| &grant.resource)
    };
    let resource = written.map(|grant| &grant.resource).or_else(received)?;
    Some(GrantStatus {
        grant: key.to_string(),
        agent: standing.identity.to_string(),
        host: resource.host.to_string(),
        port: resource.port.get().into(),
        protocol: resource.protocol.as_str().to_owned(),
        reason: standing.reason.to_string(),
        ends_at: standing
            .ends_at
            .map(|end| end.to_string())
            .unwrap_or_default(),
        left_millis: time_left(node, standing, now),
    })
}

pub(super) async fn tail(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: &Tail,
) -> Outcome {
    let caller = caller(node, peer);
    if caller.scope.is_some() {
        return Ok(Err(denied(
            "a process inside a scope cannot read the record",
            "read it from outside the scope",
        )));
    }
    let count = usize::try_from(asked.past)
        .unwrap_or(MOST_LINES)
        .min(MOST_LINES);
    // What is written while the past is read comes both ways: ids tell it apart.
    let mut coming = node.borrow().recorder.follow();
    let path = node.borrow().recorder.path().to_owned();
    let past = tokio::task::spawn_blocking(move || record::last(&path, count)).await;
    let past = match past.map_err(io::Error::other)? {
        Ok(past) => past,
        Err(error) => return Ok(Err(denied(error.to_string(), ""))),
    };
    let shown_until = past.last().and_then(|line| id_of(line));
    let visible = |line: &str| {
        let record = serde_json::from_str::<Record>(line);
        record.is_ok_and(|record| may_see_record(callers, &caller, &node.borrow(), &record))
    };
    for line in past.into_iter().filter(|line| visible(line)) {
        say(stream, reply::Reply::Record(line)).await?;
    }
    if !asked.follow {
        return Ok(Ok(()));
    }
    loop {
        let line = tokio::select! {
            line = coming.recv() => line,
            // A caller that went away wants nothing more.
            _ = stream.readable() => return Ok(Ok(())),
        };
        match line {
            Ok(line) if id_of(&line) > shown_until && visible(&line) => {
                say(stream, reply::Reply::Record(line.to_string())).await?;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => {
                let message = format!("{missed} records came faster than they were read");
                return Ok(Err(denied(
                    message,
                    "they are all in the record; start again with -n",
                )));
            }
            Err(RecvError::Closed) => return Ok(Ok(())),
        }
    }
}

fn id_of(line: &str) -> Option<Uuid> {
    serde_json::from_str::<Record>(line)
        .ok()
        .map(|record| record.id)
}

pub(super) async fn revoke(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: &Revoke,
) -> Outcome {
    let caller = caller(node, peer);
    if caller.scope.is_some() || !callers.is_admin(&caller) {
        return Ok(Err(denied(
            "you may not revoke grants here",
            "ask root, or an admin of the local policy",
        )));
    }
    let revoked = revoke_grant(&mut node.borrow_mut(), asked, &user::account(peer.uid).name);
    match revoked {
        Ok(revoked) => {
            say(stream, reply::Reply::Revoked(revoked)).await?;
            Ok(Ok(()))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

fn revoke_grant(node: &mut Node, asked: &Revoke, by: &str) -> Result<Revoked, Denied> {
    let key: ObjectKey = asked.grant.parse().map_err(|error| {
        denied(
            format!(
                "`{}` is not the name of an AccessGrant: {error}",
                asked.grant
            ),
            "",
        )
    })?;
    let standing = node.compiler.desired().grants.get(&key);
    let was_live = standing.is_some_and(|standing| standing.reason == GrantReason::Active);
    if let Some(grant) = node.compiler.written().grants.get(&key).cloned() {
        let revoked = lanyard_access::grant::Grant {
            revoked: true,
            ..grant
        };
        node.compiler
            .apply(Change::Grant(key.clone(), Some(revoked)));
    } else if !node.compiler.revoke_received(&key) {
        return Err(denied(
            format!("there is no AccessGrant {key}"),
            "`lanyard status` shows what there is",
        ));
    }
    node.apply(Moment::now(), Some(by));
    Ok(Revoked {
        grant: key.to_string(),
        was_live,
    })
}

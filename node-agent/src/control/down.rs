//! `lanyard down`: the explicit end of enforcement on this node.

use std::time::Duration;

use lanyard_protocol::{
    control::{Down, Draining, reply},
    record::Event,
};
use tokio::net::UnixStream;
use tracing::{info, warn};

use super::{Outcome, denied, peer::Peer, say};
use crate::{
    callers::{Caller, Callers},
    kernel::{Kernel, clock::Moment},
    node::{Node, Shared},
    scope::cgroup::Cgroup,
    user,
};

/// How often it is looked whether a scope is empty.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn down(
    stream: &mut UnixStream,
    node: &Shared,
    callers: &dyn Callers,
    peer: &Peer,
    asked: &Down,
    ended: &tokio::sync::watch::Sender<bool>,
) -> Outcome {
    let caller = Caller {
        uid: peer.uid,
        scope: node.borrow().scope_of(peer.pid),
    };
    if caller.scope.is_some() || !callers.is_admin(&caller) {
        return Ok(Err(denied(
            "you may not end enforcement here",
            "ask root, or an admin of the local policy",
        )));
    }
    begin(&mut node.borrow_mut(), asked.kill, Moment::now());
    let mut shown = None;
    let mut listens = true;
    loop {
        let left = drain(&mut node.borrow_mut(), asked.kill, Moment::now());
        let Some(left) = left else { break };
        // A caller that goes away does not stop the drain.
        if listens && shown.as_ref() != Some(&left) {
            listens = say(stream, reply::Reply::Draining(left)).await.is_ok();
            shown = Some(left);
        }
        tokio::time::sleep(LOOK).await;
    }
    let finished = finish(
        &mut node.borrow_mut(),
        &user::account(peer.uid).name,
        Moment::now(),
    );
    ended.send_replace(true);
    match finished {
        Ok(()) => Ok(Ok(())),
        Err(message) => Ok(Err(denied(message, "see the node agent's log"))),
    }
}

/// Those that must be empty before enforcement ends. Pods are not waited for: they run on without it.
fn cgroups(node: &Node) -> impl Iterator<Item = &Cgroup> {
    let scopes = node.scopes.values();
    let scopes = scopes.filter_map(|scope| scope.fence.own());
    scopes.chain(&node.orphans)
}

/// Ends every grant, and on demand every process.
pub fn begin(node: &mut Node, kill: bool, now: Moment) {
    info!("enforcement is being ended");
    node.draining = true;
    node.compiler
        .replace(lanyard_access::compile::Written::default());
    let received: Vec<_> = node.compiler.received().cloned().collect();
    for agent in received {
        node.compiler.receive(&agent, None);
    }
    node.apply(now, None);
    if kill {
        for cgroup in cgroups(node) {
            if let Err(error) = cgroup.kill() {
                warn!(%error, "the processes of a scope could not be ended");
            }
        }
    }
}

/// Forgets what is empty; returns what is still waited for.
pub fn drain(node: &mut Node, kill: bool, now: Moment) -> Option<Draining> {
    node.reap(now);
    if kill {
        // A process that was forked while the others ended.
        for cgroup in cgroups(node).filter(|cgroup| cgroup.is_populated()) {
            let _ = cgroup.kill();
        }
    }
    let left = cgroups(node).count();
    if left == 0 {
        return None;
    }
    let processes: usize = cgroups(node).map(|cgroup| cgroup.processes().len()).sum();
    Some(Draining {
        scopes: u32::try_from(left).unwrap_or(u32::MAX),
        processes: u32::try_from(processes).unwrap_or(u32::MAX),
    })
}

/// Removes programs, maps and folders. The record of it comes first.
pub fn finish(node: &mut Node, by: &str, now: Moment) -> Result<(), String> {
    node.record(Event::NodeDisabled { by: by.to_owned() }, now);
    Kernel::pins(&node.place.node)
        .remove()
        .map_err(|error| error.to_string())?;
    node.place.clear().map_err(|error| error.to_string())?;
    info!("enforcement has ended");
    Ok(())
}

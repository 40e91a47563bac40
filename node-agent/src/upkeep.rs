//! What a node does for as long as it lives, wherever what is written comes from.

use std::{
    io::{self, Write as _},
    os::fd::AsFd as _,
    path::Path,
    time::Duration,
};

use lanyard_node_agent_abi::event::FlowEvent;

use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::{
    events,
    kernel::{clock::Moment, datagrams, namespace, tagged},
    node::{Node, Shared},
    place::Place,
    record::LeftOpen,
};

/// Why a node agent may not work on a node.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one does.
    #[error("a node agent of this node runs already; end it with: lanyard down")]
    Running,
    /// The system.
    #[error("lock the state of this node: {0}")]
    System(std::io::Error),
}

/// Whoever started it waits for this line, and reads nothing after it.
pub fn say_ready() {
    let mut out = std::io::stdout();
    if writeln!(out, "ready").and_then(|()| out.flush()).is_err() {
        info!("nobody waits for this node agent to be ready");
    }
}

/// Requests that were open when an earlier node agent was killed.
pub async fn end_what_was_left(node: Shared, left: LeftOpen) {
    match tokio::task::spawn_blocking(|| left.ends()).await {
        Ok(Ok(ends)) => {
            let now = Moment::now();
            for end in ends {
                node.borrow_mut().record(end, now);
            }
        }
        Ok(Err(error)) => warn!(%error, "requests without an end were not looked for"),
        Err(error) => warn!(%error, "requests without an end were not looked for"),
    }
}

/// Writes what observed agents did, while they do it.
pub async fn keep_observed(node: &Shared, path: &Path) {
    const EACH: Duration = Duration::from_secs(1);
    let mut tick = tokio::time::interval(EACH);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        write_observed(node, path);
    }
}

/// Writes what observed agents did; what cannot be written is told in the log.
pub fn write_observed(node: &Shared, path: &Path) {
    if let Err(error) = node.borrow_mut().observations.keep(path) {
        warn!(%error, "what was observed was not written");
    }
}

/// Asks the kernel for the connections that stand under grants: an earlier node agent was told of them, or nobody.
pub fn take_up_flows(node: &mut Node, now: Moment) {
    let datagrams = datagrams::connected(&node.maps);
    match connections(node) {
        Ok(mut flows) => {
            flows.extend(datagrams);
            node.take_up_flows(flows, now);
        }
        Err(error) => warn!(
            %error,
            "open connections could not be listed; at the end of their grants they end by their own timeouts"
        ),
    }
}

/// Those in the network of this machine, and in the network of each pod.
fn connections(node: &Node) -> io::Result<Vec<FlowEvent>> {
    let tags = node.maps.tag_map();
    let mut flows = tagged::connections(tags)?;
    for network in node.pod_networks() {
        flows.extend(namespace::within(network.as_fd(), || {
            tagged::connections(tags)
        })?);
    }
    Ok(flows)
}

/// Looks for executions that the kernel could not tell, and for the images they left unknown.
pub async fn heal(node: &Shared) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = events::Looks::default();
    loop {
        tick.tick().await;
        let losses = node.borrow_mut().on_losses(Moment::now());
        if losses.executions {
            events::adopt(node, &mut looks);
        }
        if losses.flows {
            take_up_flows(&mut node.borrow_mut(), Moment::now());
        }
    }
}

/// Ends what ends, when it ends.
pub async fn keep_time(node: &Shared) {
    /// So that a change of the grants, or of a clock, is not slept through.
    const LONGEST: Duration = Duration::from_millis(250);
    loop {
        let now = Moment::now();
        let due = node.borrow().next_time(now);
        let wait = due.map_or(LONGEST, |due| {
            Duration::from_nanos(due.saturating_sub(now.boot)).min(LONGEST)
        });
        tokio::time::sleep(wait).await;
        let now = Moment::now();
        if due.is_some_and(|due| due <= now.boot) {
            node.borrow_mut().on_time(now);
        }
    }
}

/// Two node agents on the same maps would undo each other's work.
pub fn lock(place: &Place) -> Result<std::fs::File, LockError> {
    let file = std::fs::File::create(place.state.join("lock")).map_err(LockError::System)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Running),
        Err(error) => Err(LockError::System(error.into())),
    }
}

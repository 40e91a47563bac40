//! Lanyard: the client is an agent in a scope, whose connections the kernel leads to the scope's broker.

use std::process::Command;

use anyhow::{Context as _, Result};
use lanyard_e2e::scenes::{TOOLS, USER};

use super::{Peer, Process};
use crate::{
    cost::{self, Cost},
    load::Via,
    place::Place,
};

/// How the kernel names a broker.
const BROKER: &str = "lanyard-broker";

pub(super) fn peer(place: &Place) -> Result<Peer> {
    let daemon = place.stage.lanyard.daemon();
    Ok(Peer {
        name: "Lanyard",
        ways: [Via::Name, Via::Name],
        speaks_http2: true,
        needs_token: false,
        streams: true,
        process: Process::Lanyard(daemon.context("the node agent runs")?),
    })
}

/// The broker and the node agent, apart. A broker that ended took its account with it: each run has its own.
pub(super) fn cost(daemon: u32) -> Result<Vec<Cost>> {
    Ok(vec![cost::of_one(broker(daemon)?)?, cost::of_one(daemon)?])
}

/// The process of the broker that runs.
pub(crate) fn broker(daemon: u32) -> Result<u32> {
    let brokers = cost::tree(daemon)?;
    let mut brokers = brokers.into_iter().rev();
    brokers
        .find(|pid| cost::name(*pid).as_deref() == Some(BROKER))
        .context("a broker runs")
}

pub(super) fn client(place: &Place, arguments: &[&str]) -> Command {
    let program = place.program.display().to_string();
    let command: Vec<&str> = [program.as_str()]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    place.stage.lanyard.run_as(TOOLS, Some(USER), &command)
}

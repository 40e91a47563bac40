//! Starts the node agent.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use lanyard_node_agent::args::{Arguments, Verb};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "only root can enforce; type the same with `sudo` before it"
    );
    // Each file is made with the mode it needs, whatever the caller's shell says.
    rustix::process::umask(rustix::fs::Mode::WGRP | rustix::fs::Mode::WOTH);
    lanyard_daemon::hardening::harden().context("protect the memory of this process")?;
    match &arguments.verb {
        #[cfg(feature = "local")]
        Verb::Local(local) => {
            start_log(&local.place.log)?;
            lanyard_node_agent::local::run(local).context("enforce on this machine")
        }
        #[cfg(feature = "local")]
        Verb::Down(down) => {
            start_log(&down.place.log)?;
            lanyard_node_agent::local::down(down).context("end enforcement on this machine")
        }
        Verb::Cluster(cluster) => {
            start_log(&cluster.place.log)?;
            lanyard_node_agent::cluster::run(cluster).context("enforce on this node")
        }
    }
}

fn start_log(filter: &str) -> anyhow::Result<()> {
    lanyard_daemon::log::start(filter).context("start the log")
}

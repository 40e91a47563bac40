//! What can be said to the broker when it is started: all else comes from its node agent.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Gives requests of one scope the credentials that its grants allow, and no others.
///
/// Without a command the node agent has started it, with one end of a socket pair as standard input.
#[derive(Debug, Parser)]
#[command(name = "lanyard-broker", version)]
pub struct Args {
    /// What to log: a level, or parts with levels (`info,lanyard_broker=debug`)
    #[arg(
        long,
        env = "LANYARD_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,
    /// What it is started for.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What a broker is started for in a pod.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serves the pod that it is a container of
    Sidecar(Place),
    /// Succeeds while the broker of this container serves: for probes
    Ready(Place),
}

/// Where the node agent is.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The node agent's socket
    #[arg(long, default_value = lanyard_access::pod::BROKER_SOCKET)]
    pub socket: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Args::command().debug_assert();
    }
}

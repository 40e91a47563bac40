//! What can be said to the broker when it is started: all else comes from its node agent.

use clap::Parser;

/// Gives requests of one scope the credentials that its grants allow, and no others.
///
/// The node agent starts it, with one end of a socket pair as standard input.
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

//! What a process says, on standard error.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// Why the log could not be started.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter is not one.
    #[error(
        "`{filter}` is not a log filter; write a level (`error`, `warn`, `info`, `debug`, `trace`), or parts with levels: `info,lanyard_broker=debug`"
    )]
    Filter {
        /// The filter as it was written.
        filter: String,
    },
    /// Something else already logs for this process.
    #[error("the log was started before")]
    Started,
}

/// Reads a filter: a level, or parts with levels (`info,lanyard_broker=debug`).
pub fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|_| LogError::Filter {
            filter: filter.to_owned(),
        })
}

/// Logs what passes `filter` to standard error, in colour if that is a terminal.
pub fn start(filter: &str) -> Result<(), LogError> {
    tracing_subscriber::fmt()
        .with_env_filter(parse_filter(filter)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init()
        .map_err(|_| LogError::Started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_parts_are_filters() {
        for good in [
            "error",
            "info",
            "info,lanyard_broker=debug",
            "lanyard_broker::resolver=trace",
        ] {
            assert!(parse_filter(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_an_example() {
        for bad in ["=", "info,x=loud", "a=b=c"] {
            let error = parse_filter(bad).expect_err(bad).to_string();
            assert!(error.contains(bad) && error.contains("info"), "{error}");
        }
    }
}

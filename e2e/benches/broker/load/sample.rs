//! How long things took, and what is said of it.

use std::time::Duration;

use super::Found;

/// How long each took.
#[derive(Debug, Default)]
pub(super) struct Sample(Vec<Duration>);

impl Sample {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// What is said of it, where all of it took so long.
    pub(super) fn found(mut self, elapsed: Duration) -> Found {
        self.0.sort_unstable();
        let told = |percent: usize| {
            let at = (self.0.len() * percent).div_ceil(100).max(1) - 1;
            let took = self.0.get(at).copied().unwrap_or_default();
            took.as_secs_f64() * 1e6
        };
        Found {
            count: self.0.len() as u64,
            seconds: elapsed.as_secs_f64(),
            median: told(50),
            p99: told(99),
        }
    }
}

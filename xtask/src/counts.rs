//! How many passed, failed and were skipped, and the one line that says so.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::process::ExitCode;

use crate::console::say;

/// A sum of results. Its text form is the last line of `test` and `lint`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) fn passed(passed: usize) -> Self {
        Self {
            passed,
            ..Self::default()
        }
    }

    pub(crate) fn failed(failed: usize) -> Self {
        Self {
            failed,
            ..Self::default()
        }
    }

    pub(crate) fn skipped(skipped: usize) -> Self {
        Self {
            skipped,
            ..Self::default()
        }
    }

    /// A skip counts as a failure, as it must where nobody looks at what was skipped.
    #[must_use]
    pub(crate) fn without_skips(self) -> Self {
        Self {
            failed: self.failed + self.skipped,
            skipped: 0,
            ..self
        }
    }

    /// What broke off has counted nothing: one failure, and the reason is printed.
    pub(crate) fn or_failed(result: anyhow::Result<Self>) -> Self {
        result.unwrap_or_else(|error| {
            say(&format!("✗ {error:#}"));
            Self::failed(1)
        })
    }

    /// Prints the sum, the last line of a verb, and turns it into the verb's exit status.
    pub(crate) fn close(self) -> ExitCode {
        say(&self.to_string());
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    pub(crate) fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_reads_as_ci_expects_it() {
        let sum: Counts = [
            Counts::passed(3),
            Counts::failed(1),
            Counts::passed(2),
            Counts::skipped(4),
        ]
        .into_iter()
        .sum();
        assert_eq!(sum.to_string(), "5 passed, 1 failed, 4 skipped");
        assert_eq!(sum.total(), 10);
    }

    #[test]
    fn a_skip_can_be_made_a_failure() {
        let counts = Counts {
            passed: 1,
            failed: 2,
            skipped: 3,
        };
        assert_eq!(
            counts.without_skips(),
            Counts {
                passed: 1,
                failed: 5,
                skipped: 0
            }
        );
    }

    #[test]
    fn nothing_run_is_nothing_counted() {
        assert_eq!(
            std::iter::empty().sum::<Counts>().to_string(),
            "0 passed, 0 failed, 0 skipped"
        );
    }
}

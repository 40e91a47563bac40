//! How long a grant lives.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// When a grant ends: exactly one of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// So long after it was first ready.
    For(GrantDuration),
    /// At that time.
    Until(Timestamp),
}

impl Lifetime {
    /// The end of a grant that was, or now becomes, ready at `activated_at`.
    pub fn end(&self, activated_at: Timestamp) -> Timestamp {
        match self {
            // Beyond the year 9999 there is no timestamp; the latest one stands for it.
            Self::For(duration) => activated_at
                .checked_add(duration.as_signed())
                .unwrap_or(Timestamp::MAX),
            Self::Until(end) => *end,
        }
    }
}

/// Why text is not a [`GrantDuration`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseDurationError {
    /// Not numbers with units.
    #[error(
        "`{0}` is not a duration; write numbers with units, for example `30s`, `10m` or `1h30m`"
    )]
    Form(String),
    /// Outside one second to 366 days.
    #[error("`{0}` is not between 1s and 8784h")]
    Range(String),
}

/// From one second to 366 days; as text what Go's `time.ParseDuration` reads, with units h, m, s, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantDuration(Duration);

impl GrantDuration {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_hours(366 * 24);

    /// Checks a duration.
    pub fn new(duration: Duration) -> Option<Self> {
        (Self::SHORTEST..=Self::LONGEST)
            .contains(&duration)
            .then_some(Self(duration))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }

    fn as_signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }
}

impl FromStr for GrantDuration {
    type Err = ParseDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || ParseDurationError::Form(text.to_owned());
        let millis = parse_millis(text).ok_or_else(form)?;
        Self::new(Duration::from_millis(millis))
            .ok_or_else(|| ParseDurationError::Range(text.to_owned()))
    }
}

/// Reads `1h30m5s250ms`: whole numbers with units that add up, as Go does; no sign, no fraction.
fn parse_millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let scale = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

impl fmt::Display for GrantDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, scale, within) in [
            ("h", 3_600_000, u128::MAX),
            ("m", 60_000, 60),
            ("s", 1_000, 60),
            ("ms", 1, 1_000),
        ] {
            let count = (millis / scale) % within;
            if count != 0 {
                write!(formatter, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_what_they_print() {
        for text in ["1s", "10m", "1h30m", "4h", "1h1m1s1ms", "8784h"] {
            assert_eq!(text.parse::<GrantDuration>().unwrap().to_string(), text);
        }
        assert_eq!("90m".parse::<GrantDuration>().unwrap().to_string(), "1h30m");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in [
            "",
            "10",
            "1d",
            "h",
            "-1h",
            "1.5h",
            "0s",
            "999ms",
            "8785h",
            "1h 1m",
            "99999999999999999999h",
        ] {
            assert!(
                bad.parse::<GrantDuration>().is_err(),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn an_end_beyond_the_calendar_is_the_last_moment() {
        let lifetime = Lifetime::For("1h".parse().unwrap());
        assert_eq!(lifetime.end(Timestamp::MAX), Timestamp::MAX);
    }
}

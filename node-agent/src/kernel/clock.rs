//! The two clocks of a node. Only the outermost loops read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// A moment on both clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds of the boot clock, which counts through suspend and is never set.
    pub boot: u64,
    /// The wall clock, which people set.
    pub wall: Timestamp,
}

impl Moment {
    /// Reads both clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the node agent's loops get `now` from"
    )]
    pub fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        let boot = Duration::new(
            u64::try_from(boot.tv_sec).unwrap_or(0),
            u32::try_from(boot.tv_nsec).unwrap_or(0),
        );
        // A wall clock before 1970 counts as 1970.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall = SignedDuration::try_from(wall).unwrap_or_default();
        Self {
            boot: u64::try_from(boot.as_nanos()).unwrap_or(u64::MAX),
            wall: Timestamp::from_duration(wall).unwrap_or(Timestamp::MAX),
        }
    }

    /// Where a moment of the wall clock lies on the boot clock, as the two stand now. 0 if it is past
    /// the machine's start.
    pub fn boot_of(&self, wall: Timestamp) -> u64 {
        let ahead = wall.duration_since(self.wall).as_nanos();
        let at = i128::from(self.boot).saturating_add(ahead);
        u64::try_from(at.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_moment_lies_as_far_from_now_on_the_boot_clock() {
        let now = Moment {
            boot: 5_000_000_000,
            wall: Timestamp::from_second(100).unwrap(),
        };
        assert_eq!(
            now.boot_of(Timestamp::from_second(101).unwrap()),
            6_000_000_000
        );
        assert_eq!(
            now.boot_of(Timestamp::from_second(99).unwrap()),
            4_000_000_000
        );
        assert_eq!(now.boot_of(Timestamp::from_second(1).unwrap()), 0);
        assert!(now.boot_of(Timestamp::MAX) > now.boot);
    }
}

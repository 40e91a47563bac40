//! The two clocks. Only outermost loops read them; whatever decides takes `now`.
//!
//! A [`Timestamp`] in the broker counts the nanoseconds of `CLOCK_BOOTTIME` as if they were since 1970:
//! deadlines come in that form, it runs on while the machine is suspended, and nobody can set it. The wall
//! clock serves one end, to know how long a certificate still lasts.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Now on the boot clock.
pub fn boot_now() -> Timestamp {
    let now = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    // A machine that is up for 8,000 years has other worries; for it every grant has ended.
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MAX)
}

/// Seconds since 1970 on the wall clock.
pub fn wall_seconds() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_goes_on() {
        let before = boot_now();
        let after = boot_now();
        assert!(before > Timestamp::UNIX_EPOCH && after >= before);
    }
}

//! How much memory a broker may have: beyond that it ends, alone, and another is started.
//!
//! Within that it keeps itself, by the limits of `broker/src/limits.rs` for whatever one connection or request may
//! hold. This is for the sum of them, and for what no limit is about. It is the limit of the process and not of a
//! cgroup: brokers are in the cgroup of the node agent, and version 2 has no controller for memory on machines
//! where version 1 has it.

#![expect(
    unsafe_code,
    reason = "a limit is set in the process that is started, between fork and exec: from outside it takes a right that not every node agent has"
)]

use std::sync::Once;

use rustix::{
    process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit},
    system::sysinfo,
};
use tokio::process::{Child, Command};
use tracing::warn;

/// The most that any broker may have. With a request under way on each of 2,000 connections it has a fifth of that.
const MOST: u64 = 1 << 30;

/// Which part of the machine's memory a broker may have: one has little use of more where there is less.
const PART: u64 = 4;

/// Has the process that will be started have no more than it may. It cannot raise that again.
pub(super) fn bound(broker: &mut Command) {
    let most = most(total());
    // Nor does it have more than this process, which may not be allowed to give more.
    let own = getrlimit(Resource::Data).maximum;
    let most = Some(own.map_or(most, |own| own.min(most)));
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    // What is private and can be written (since Linux 4.7): all that it allocates, and nothing of what it only has
    // addresses for.
    let set = move || Ok(setrlimit(Resource::Data, limit)?);
    // SAFETY: between fork and exec it makes one call of the system, with what was computed before; it allocates
    // nothing and takes no lock.
    unsafe { broker.pre_exec(set) };
}

/// A broker locks its memory, so that no secret is ever swapped out; it may not lift that limit itself. Where
/// this process may not either (it lacks `CAP_SYS_RESOURCE`), the broker runs with what the machine allows.
pub(super) fn let_lock(broker: &Child) {
    static TOLD: Once = Once::new();
    let pid = broker
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if let Err(error) = prlimit(pid, Resource::Memlock, unlimited) {
        TOLD.call_once(|| {
            warn!(%error, "brokers cannot lock their memory: secrets may be swapped out where there is swap");
        });
    }
}

/// The memory of the machine.
fn total() -> u64 {
    let known = sysinfo();
    known.totalram.saturating_mul(known.mem_unit.into())
}

/// How much a broker may have on a machine with so much.
fn most(total: u64) -> u64 {
    (total / PART).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_a_part_of_a_small_machine_and_a_fixed_bound_on_a_large_one() {
        assert_eq!(most(512 << 20), 128 << 20);
        assert_eq!(most(4 << 30), 1 << 30);
        assert_eq!(most(1 << 40), 1 << 30);
        assert!((64 << 20..1 << 50).contains(&total()));
    }

    #[tokio::test]
    async fn a_process_that_is_started_has_that_bound_and_cannot_raise_it() {
        let mut command = Command::new("cat");
        command.arg("/proc/self/limits");
        bound(&mut command);
        let limits = command.output().await.unwrap().stdout;
        let limits = String::from_utf8(limits).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max data size"));
        let fields: Vec<&str> = line.unwrap().split_whitespace().collect();
        let most = most(total()).to_string();
        assert_eq!(fields[3..5], [most.as_str(), most.as_str()]);
    }
}

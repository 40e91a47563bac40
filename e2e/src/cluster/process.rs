//! A process that is known again: a pid alone may be another process by now.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::wait;

/// How long one that was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(20);

/// A process, by its pid and the moment it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pid: u32,
    /// Ticks since the machine was started, of `proc_pid_stat(5)`.
    started: u64,
    /// The machine's start that these ticks are counted from.
    boot: String,
}

impl Process {
    /// The process that has this pid now.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let stat = Stat::of(pid).with_context(|| format!("find the process {pid}"))?;
        Ok(Self {
            pid,
            started: stat.started,
            boot: boot()?,
        })
    }

    /// Its pid, which is worth nothing once it has ended.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs. One that nobody waited for has ended all the same.
    pub(super) fn is_alive(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
            && Stat::of(self.pid)
                .is_some_and(|stat| stat.started == self.started && !stat.has_ended())
    }

    /// Resident memory, in MiB.
    pub(super) fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes / 1024)
    }

    /// Asks it to end. That it has ended already is as good.
    pub(super) fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Waits until it has ended, and kills it when it takes longer than `grace`.
    pub(super) fn wait_or_kill(&self, grace: Duration) -> Result<()> {
        let gone = || Ok((!self.is_alive()).then_some(()));
        if wait::until("it ends", grace, gone).is_ok() {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        wait::until(&format!("process {} is gone", self.pid), KILLED, gone)
    }

    /// By a descriptor that was opened before it was looked at, so that no other process gets the signal.
    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(Ok(descriptor)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
            return Ok(());
        };
        if !self.is_alive() {
            return Ok(());
        }
        match pidfd_send_signal(descriptor, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("signal the process {}", self.pid)),
        }
    }
}

/// Of `/proc/PID/stat`, what tells a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name, in parentheses, may hold anything, parentheses too; the state is the third field, the start the 22nd.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            started: fields.nth(18)?.parse().ok()?,
        })
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_may_look_like_other_fields() {
        let line = "17 (a) R 1 (b) S 1 17 17 0 -1 4194304 90 0 0 0 1 2 3 4 20 0 1 0 4242 99 1\n";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.started), ('S', 4242));
        assert_eq!(Stat::parse("17 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn another_process_of_the_same_pid_is_not_it() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        let earlier = Process {
            started: own.started - 1,
            ..own.clone()
        };
        let of_another_boot = Process {
            boot: "other".into(),
            ..own
        };
        assert!(!earlier.is_alive() && !of_another_boot.is_alive());
    }

    #[test]
    fn another_process_of_the_same_pid_is_left_alone() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let it = Process::of(child.id()).unwrap();
        let another = Process {
            started: it.started + 1,
            ..it.clone()
        };
        another.ask_to_end().unwrap();
        another.wait_or_kill(Duration::ZERO).unwrap();
        assert!(it.is_alive());
        it.ask_to_end().unwrap();
        it.wait_or_kill(Duration::from_secs(20)).unwrap();
        // Nobody has waited for it yet.
        assert!(!it.is_alive());
        child.wait().unwrap();
    }
}

//! The processes of Lanyard one by one: what is killed, stopped and weighed.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{lanyard::Lanyard, wait};

impl Lanyard {
    /// The processes of the brokers, one for each scope.
    pub fn brokers(&self) -> Result<Vec<u32>> {
        // What the daemon executes for a moment is none.
        let is_broker = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "lanyard-broker")
        };
        Ok(self.children()?.into_iter().filter(is_broker).collect())
    }

    /// Every process that the daemon started.
    pub(crate) fn children(&self) -> Result<Vec<u32>> {
        let Some(daemon) = self.daemon() else {
            bail!("the daemon does not run")
        };
        let children = fs::read_to_string(format!("/proc/{daemon}/task/{daemon}/children"))?;
        let pids = children.split_whitespace().map(str::parse);
        pids.collect::<Result<_, _>>().context("read a pid")
    }

    /// The broker of the only scope there is, once it is one.
    pub fn only_broker(&self) -> Result<u32> {
        wait::until("one broker runs", Duration::from_secs(10), || {
            Ok(match self.brokers()?.as_slice() {
                [broker] => Some(*broker),
                _ => None,
            })
        })
    }

    /// Ends every broker with SIGKILL, and nothing else; says how many.
    pub fn kill_brokers(&self) -> Result<usize> {
        let brokers = self.brokers()?;
        for broker in &brokers {
            signal(*broker, Signal::KILL)?;
        }
        ensure!(!brokers.is_empty(), "no broker runs");
        Ok(brokers.len())
    }
}

/// Sends a signal.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    kill_process(pid.context("a process has a number")?, signal).context("send a signal")
}

/// How much memory of a process is resident, in KiB.
pub fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("read the status of {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().next());
    size.context("a process has a size")?
        .parse()
        .context("read a size")
}

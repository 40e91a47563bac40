//! A network of the bench's own: a host over a veth pair, and addresses that lead nowhere.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::worker::{Task, Worker};

/// The host behind the veth pair.
pub(crate) const HOST: &str = "10.98.0.2";
/// An address of nobody: what is sent to it goes over the veth pair and is dropped there.
pub(crate) const NOWHERE: &str = "10.98.0.3";
/// An address that the routing table refuses.
pub(crate) const UNREACHABLE: &str = "10.96.0.2";
/// An address of this host, which is reached over loopback.
pub(crate) const HERE: &str = "10.98.0.1";
/// Where connections are accepted and what comes is thrown away.
pub(crate) const SINK_PORT: u16 = 9_000;

const HERE_SETUP: &str = "
link set lo up
link add near type veth peer name far netns PID
address add 10.98.0.1/24 dev near
link set near up
neighbor add 10.98.0.3 lladdr 02:00:00:00:00:03 dev near
route add unreachable 10.96.0.0/24
";
const HOST_SETUP: &str = "
link set lo up
address add 10.98.0.2/24 dev far
link set far up
";

/// While it lives, this process is in a network of its own; its helpers end with it.
pub(crate) struct Place {
    _host: Worker,
    _here: Worker,
}

impl Place {
    pub(crate) fn make() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "needs root");
        unshare_network()?;
        let host = Worker::start(&Task::SinkElsewhere)?;
        ip(&[], &HERE_SETUP.replace("PID", &host.pid().to_string()))?;
        let there = format!("/proc/{}/ns/net", host.pid());
        ip(&["nsenter", &format!("--net={there}")], HOST_SETUP)?;
        let here = Worker::start(&Task::Sink)?;
        // A bench of refusals must not be told from one that ran into a full table.
        fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1").context("reuse ports at once")?;
        Ok(Self {
            _host: host,
            _here: here,
        })
    }

    /// A process that is in no scope.
    #[expect(clippy::unused_self, reason = "it is in the network of this place")]
    pub(crate) fn worker(&self) -> Result<Worker> {
        Worker::start(&Task::Work)
    }
}

/// Puts this process into a network of its own.
pub(crate) fn unshare_network() -> Result<()> {
    #[expect(unsafe_code, reason = "rustix has no safe call for it")]
    // SAFETY: a network namespace only; descriptors stay shared between the threads.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.context("make a network namespace")
}

fn ip(before: &[&str], batch: &str) -> Result<()> {
    let words: Vec<&str> = before
        .iter()
        .copied()
        .chain(["ip", "-batch", "-"])
        .collect();
    let mut ip = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .spawn()
        .context("start ip, of iproute2")?;
    let mut stdin = ip.stdin.take().context("its standard input")?;
    stdin.write_all(batch.as_bytes()).context("write to ip")?;
    drop(stdin);
    ensure!(ip.wait()?.success(), "set up a network");
    Ok(())
}

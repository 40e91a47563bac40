//! What processes have used of the machine, as the kernel accounts it.

use std::{collections::VecDeque, fs, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Of one process, or of one and all below it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Time on a processor since it began, of the threads that there are.
    pub(crate) processor: Duration,
    /// Kibibytes that are in memory.
    pub(crate) resident: u64,
}

/// Of a process alone.
pub(crate) fn of_one(pid: u32) -> Result<Cost> {
    let mut cost = Cost::default();
    for task in tasks(pid)? {
        // A thread may have ended meanwhile.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")) else {
            continue;
        };
        let nanos = text.split(' ').next().unwrap_or_default().parse()?;
        cost.processor += Duration::from_nanos(nanos);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = resident.and_then(|text| text.split_whitespace().next());
    cost.resident = kibibytes
        .context("the kernel tells resident memory")?
        .parse()?;
    Ok(cost)
}

/// Of a process and all below it.
pub(crate) fn of_tree(pid: u32) -> Result<Cost> {
    let mut all = Cost::default();
    for pid in tree(pid)? {
        // What ends meanwhile was a helper.
        let cost = of_one(pid).unwrap_or_default();
        all.processor += cost.processor;
        all.resident += cost.resident;
    }
    Ok(all)
}

/// A process and all below it, itself first.
pub(crate) fn tree(pid: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    let mut open = VecDeque::from([pid]);
    while let Some(pid) = open.pop_front() {
        found.push(pid);
        let Ok(tasks) = tasks(pid) else { continue };
        for task in tasks {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{task}/children"));
            for child in children.unwrap_or_default().split_whitespace() {
                open.push_back(child.parse()?);
            }
        }
    }
    Ok(found)
}

/// What the kernel calls a process.
pub(crate) fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Ends processes, of which some may have ended.
pub(crate) fn end(pids: &[u32]) {
    for pid in pids {
        let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn tasks(pid: u32) -> Result<Vec<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).context("list threads")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

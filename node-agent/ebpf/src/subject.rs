//! Which scope the current task is in, and which image it runs.

use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid};
use lanyard_node_agent_abi::process::Process;

use crate::maps::{PROC, SCOPE};

/// Who acts.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    /// The thread group.
    pub(crate) tgid: u32,
    /// The scope; never 0.
    pub(crate) scope: u32,
    /// What is known of the process; nothing if it was put into the scope and has executed nothing since.
    pub(crate) process: Option<Process>,
}

/// The thread group of the current task.
#[inline(always)]
pub(crate) fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The current task, if it is in a scope. What a process was in once, it stays in: its cgroup is asked
/// only while nothing is known of it.
#[inline(always)]
pub(crate) fn current() -> Option<Subject> {
    let tgid = current_tgid();
    // SAFETY: the value is copied at once; a torn read mixes two values of one process.
    if let Some(process) = unsafe { PROC.get(tgid) } {
        return Some(Subject {
            tgid,
            scope: process.scope,
            process: Some(*process),
        });
    }
    // SAFETY: no argument; and the value is one word.
    let scope = unsafe { SCOPE.get(bpf_get_current_cgroup_id()) }?;
    Some(Subject {
        tgid,
        scope: *scope,
        process: None,
    })
}

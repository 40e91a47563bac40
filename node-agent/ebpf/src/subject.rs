//! Which scope the current task is in, what holds there, and which image it runs.

use aya_ebpf::{
    bindings::BPF_EXIST,
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, generated::bpf_get_current_task,
    },
};
use lanyard_node_agent_abi::process::{Process, flags, marks};

use crate::{
    maps::{BROKER, PROC, SCOPE, SETTINGS},
    settings::{offsets, read},
};

/// Who acts.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    /// The thread group.
    pub(crate) tgid: u32,
    /// The scope; never 0.
    pub(crate) scope: u32,
    /// What holds in the scope; see [`marks`].
    pub(crate) marks: u32,
    /// What is known of the process; nothing if it was put into the scope and has executed nothing since.
    pub(crate) process: Option<Process>,
}

impl Subject {
    /// Whether nothing is refused to it.
    #[inline(always)]
    pub(crate) fn is_observed(&self) -> bool {
        self.marks & marks::OBSERVE != 0
    }

    /// Whether another process traces it, or did so since it executed its image: what a tracer has changed
    /// stays changed. The other threads of the group are not looked at.
    #[inline(always)]
    pub(crate) fn is_traced(&self, process: &Process) -> bool {
        if process.flags & flags::TRACED != 0 {
            return true;
        }
        let offsets = offsets();
        // SAFETY: no argument.
        let task = unsafe { bpf_get_current_task() } as usize;
        let leader: usize = read(task, offsets.task_leader);
        let by_whom: u32 = read(task, offsets.task_traced);
        let leader_by_whom: u32 = read(leader, offsets.task_traced);
        if by_whom == 0 && leader_by_whom == 0 {
            return false;
        }
        let known = Process {
            flags: process.flags | flags::TRACED,
            ..*process
        };
        // An entry that is gone is not made again.
        let _ = PROC.insert(self.tgid, known, u64::from(BPF_EXIST));
        true
    }
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
        if is_broker(tgid, process) {
            return None;
        }
        return Some(Subject {
            tgid,
            scope: process.scope,
            marks: marks_of(process.scope),
            process: Some(*process),
        });
    }
    // SAFETY: no argument; and the value is one word.
    let scope = *unsafe { SCOPE.get(bpf_get_current_cgroup_id()) }?;
    Some(Subject {
        tgid,
        scope,
        marks: marks_of(scope),
        process: None,
    })
}

/// Whether it is its pod's broker, and still the image that was attested.
#[inline(always)]
fn is_broker(tgid: u32, process: &Process) -> bool {
    // SAFETY: one word is read once.
    unsafe { BROKER.get(tgid) }.is_some_and(|attested| *attested == process.exec_id)
}

/// What holds in a scope; nothing that would let more pass when that is not known.
#[inline(always)]
pub(crate) fn marks_of(scope: u32) -> u32 {
    // SAFETY: one word is read once.
    unsafe { SETTINGS.get(scope) }.map_or(0, |settings| settings.marks)
}

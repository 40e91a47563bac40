//! Executions, forks and exits: which image each process of a scope runs.

mod arguments;
mod container;
mod environment;
mod image;
mod told;
mod zero;

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_smp_processor_id, generated::bpf_get_current_task,
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use lanyard_node_agent_abi::{
    cause::Cause,
    process::{ArmedFile, ExecId, Process, flags, quota},
};

use self::image::{Origin, Shown, release};
use crate::{
    maps::{ACTIVE, ARMED, BROKER, LIVE, PROC, SCOPE, SEQUENCE},
    refusal::count,
    settings::{offsets, read},
    share::{self, Share},
    shared_count::fetch_add,
    subject::current_tgid,
};

/// `sched_process_exec(task, old_pid, bprm)`
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn on_exec(ctx: BtfTracePointContext) -> i32 {
    let bprm: *const u8 = ctx.arg(2);
    if is_active() {
        executed(bprm as usize);
    }
    0
}

/// `sched_process_fork(parent, child)`
#[btf_tracepoint(function = "sched_process_fork")]
pub(crate) fn on_fork(ctx: BtfTracePointContext) -> i32 {
    let child: *const u8 = ctx.arg(1);
    if is_active() {
        forked(child as usize);
    }
    0
}

/// `sched_process_exit(task)`
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn on_exit(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    if is_active() {
        exited(task as usize);
    }
    0
}

/// Whether these programs are the ones that work: while one generation takes the place of another, both are
/// attached, and each event belongs to one of them.
#[inline(always)]
fn is_active() -> bool {
    ACTIVE.get(0).copied() == Some(offsets().generation)
}

#[inline(always)]
fn executed(bprm: usize) {
    let tgid = current_tgid();
    // SAFETY: copied at once, and only this thread group's own tasks change its entry.
    let before = unsafe { PROC.get(tgid) }.copied();
    let (scope, kept, parent) = match before {
        Some(process) => (
            process.scope,
            process.flags & !(flags::TRACED | flags::FIRST),
            process.exec_id,
        ),
        // SAFETY: no argument, and the value is one word.
        None => match unsafe { SCOPE.get(bpf_get_current_cgroup_id()) } {
            Some(scope) => (*scope, 0, 0),
            None => return,
        },
    };
    let file = ExecutedFile::of(bprm);
    // SAFETY: no argument.
    let task = unsafe { bpf_get_current_task() } as usize;
    let mut marks = kept;
    let mut shown = Shown::NOTHING;
    // SAFETY: each member is read once; nobody but this exec uses the entry.
    if let Some(armed) = unsafe { ARMED.get(tgid) } {
        if file.is(armed) {
            marks |= flags::ROOTED | unconfined(task);
            shown = Shown {
                level: armed.level,
                children: armed.children,
            };
        } else {
            marks |= flags::OTHER_FILE;
        }
        let _ = ARMED.remove(tgid);
    }
    if marks & flags::ROOTED == 0 && container::begins(task) {
        marks |= flags::ROOTED | flags::FIRST | unconfined(task);
    }
    if read::<u32>(task, offsets().task_traced) != 0 {
        marks |= flags::TRACED;
    }
    let process = Process {
        exec_id: next_exec_id(),
        scope,
        flags: marks,
    };
    let origin = Origin::of(parent);
    let evidence = told::gather(&process, parent, &origin, tgid, &file, bprm, task);
    let has_begun = image::begin(&process, &origin, &evidence, &shown);
    let is_remembered = remember(tgid, &process, before.is_some());
    if before.is_some() {
        release(parent, scope);
    }
    // What has no entry has no end that could be told either, and would be taken to run for ever.
    if has_begun && is_remembered {
        told::tell();
    }
}

/// A process that is not remembered is refused as `NoProcess`: nothing known is less than something stale.
#[inline(always)]
fn remember(tgid: u32, process: &Process, was_known: bool) -> bool {
    if !was_known && !share::take(process.scope, Share::Processes, quota::PROCESSES) {
        count(Cause::QuotaUsedUp as u32);
        release(process.exec_id, process.scope);
        return false;
    }
    if PROC.insert(tgid, process, 0).is_err() {
        let _ = PROC.remove(tgid);
        count(Cause::MapFull as u32);
        share::give_back(process.scope, Share::Processes);
        release(process.exec_id, process.scope);
        return false;
    }
    true
}

#[inline(always)]
fn forked(child: usize) {
    let offsets = offsets();
    let pid: u32 = read(child, offsets.task_pid);
    let tgid: u32 = read(child, offsets.task_tgid);
    if pid != tgid {
        return; // a thread
    }
    // SAFETY: copied at once; the parent cannot execute while it forks.
    let Some(parent) = (unsafe { PROC.get(current_tgid()) }).copied() else {
        return;
    };
    let process = Process {
        flags: parent.flags & !flags::FIRST,
        ..parent
    };
    if !share::take(process.scope, Share::Processes, quota::PROCESSES) {
        count(Cause::QuotaUsedUp as u32);
        return;
    }
    if PROC.insert(tgid, process, 0).is_err() {
        count(Cause::MapFull as u32);
        share::give_back(process.scope, Share::Processes);
        return;
    }
    if let Some(live) = LIVE.get_ptr_mut(process.exec_id) {
        // SAFETY: a value of a map, which the kernel aligns and keeps.
        let _ = unsafe { fetch_add(live, 1) };
    }
}

#[inline(always)]
fn exited(task: usize) {
    let offsets = offsets();
    let signal: usize = read(task, offsets.task_signal);
    let live: i32 = read(signal, offsets.signal_live);
    if live != 0 {
        return; // another thread of the group lives
    }
    let tgid: u32 = read(task, offsets.task_tgid);
    // An armed process that executes nothing must not leave its demand to the next one of its number, nor a broker its
    // place.
    let _ = ARMED.remove(tgid);
    let _ = BROKER.remove(tgid);
    // SAFETY: copied at once; the group is ending, and changes nothing any more.
    if let Some(process) = unsafe { PROC.get(tgid) }.copied()
        // Of two threads that end at once both find nobody else alive: only one of them removes the entry.
        && PROC.remove(tgid).is_ok()
    {
        share::give_back(process.scope, Share::Processes);
        release(process.exec_id, process.scope);
    }
}

/// [`flags::UNCONFINED`] for a task without a seccomp filter, or that could still gain privileges.
#[inline(always)]
fn unconfined(task: usize) -> u32 {
    /// `SECCOMP_MODE_FILTER`
    const FILTER: i32 = 2;
    /// Bit `PFA_NO_NEW_PRIVS` of `task_struct.atomic_flags`.
    const NO_NEW_PRIVS: u64 = 1;
    let offsets = offsets();
    let mode: i32 = read(task, offsets.task_seccomp);
    let atomic: u64 = read(task, offsets.task_flags);
    if mode == FILTER && atomic & NO_NEW_PRIVS != 0 {
        0
    } else {
        flags::UNCONFINED
    }
}

/// Unique until the machine starts again: a count for each processor above the processor's number.
#[inline(always)]
fn next_exec_id() -> ExecId {
    let Some(sequence) = SEQUENCE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: a value of a map, which the kernel aligns and keeps. In one step: newer kernels may let another
    // task of this processor in between.
    let count = unsafe { fetch_add(sequence, 1) } + 1;
    // SAFETY: no argument.
    (count << 12) | u64::from(unsafe { bpf_get_smp_processor_id() } & 0xfff)
}

/// The file the kernel opened for an execution; an interpreter for a script.
struct ExecutedFile {
    inode: usize,
    number: u64,
    device: u32,
}

impl ExecutedFile {
    #[inline(always)]
    fn of(bprm: usize) -> Self {
        let offsets = offsets();
        let file: usize = read(bprm, offsets.binprm_file);
        let inode: usize = read(file, offsets.file_inode);
        let super_block: usize = read(inode, offsets.inode_super_block);
        Self {
            inode,
            number: read(inode, offsets.inode_number),
            device: read(super_block, offsets.super_block_device),
        }
    }

    #[inline(always)]
    fn is(&self, armed: &ArmedFile) -> bool {
        self.number == armed.inode && self.device == armed.device
    }
}

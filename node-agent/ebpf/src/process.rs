//! Executions, forks and exits: which image each process of a scope runs.

use core::ptr;

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_smp_processor_id, bpf_probe_read_kernel_str_bytes,
    },
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    event::{ExecEvent, exec},
    process::{ArmedFile, ExecId, Process, flags},
};

use crate::{
    maps::{ARMED, EXECS, IMAGE, LIVE, PROC, SCOPE, SEQUENCE},
    refusal::{count, now},
    settings::{offsets, read},
    shared_count::fetch_add,
    subject::current_tgid,
};

/// `sched_process_exec(task, old_pid, bprm)`
#[btf_tracepoint(function = "sched_process_exec")]
pub(crate) fn on_exec(ctx: BtfTracePointContext) -> i32 {
    let bprm: *const u8 = ctx.arg(2);
    executed(bprm as usize);
    0
}

/// `sched_process_fork(parent, child)`
#[btf_tracepoint(function = "sched_process_fork")]
pub(crate) fn on_fork(ctx: BtfTracePointContext) -> i32 {
    let child: *const u8 = ctx.arg(1);
    forked(child as usize);
    0
}

/// `sched_process_exit(task)`
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn on_exit(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    exited(task as usize);
    0
}

#[inline(always)]
fn executed(bprm: usize) {
    let tgid = current_tgid();
    // SAFETY: copied at once, and only this thread group's own tasks change its entry.
    let before = unsafe { PROC.get(tgid) }.copied();
    let (scope, mut marks, parent) = match before {
        Some(process) => (process.scope, process.flags, process.exec_id),
        // SAFETY: no argument, and the value is one word.
        None => match unsafe { SCOPE.get(bpf_get_current_cgroup_id()) } {
            Some(scope) => (*scope, 0, 0),
            None => return,
        },
    };
    let file = ExecutedFile::of(bprm);
    // SAFETY: copied at once; nobody but this exec uses the entry.
    if let Some(armed) = unsafe { ARMED.get(tgid) }.copied() {
        marks |= if file.is(&armed) {
            flags::ROOTED
        } else {
            flags::OTHER_FILE
        };
        let _ = ARMED.remove(tgid);
    }
    let exec_id = next_exec_id();
    let process = Process {
        exec_id,
        scope,
        flags: marks,
    };
    if LIVE.insert(exec_id, 1, 0).is_err() {
        count(Cause::MapFull as u32);
    }
    if PROC.insert(tgid, process, 0).is_err() {
        // Nothing known is less than something stale: the process is refused as `NoProcess`.
        let _ = PROC.remove(tgid);
        count(Cause::MapFull as u32);
        release(exec_id);
    }
    if before.is_some() {
        release(parent);
    }
    tell_executed(&process, parent, tgid, &file, bprm);
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
    let Some(process) = (unsafe { PROC.get(current_tgid()) }).copied() else {
        return;
    };
    if PROC.insert(tgid, process, 0).is_err() {
        count(Cause::MapFull as u32);
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
    // An armed process that executes nothing must not leave its demand to the next one of its number.
    let _ = ARMED.remove(tgid);
    // SAFETY: copied at once; the group is ending, and changes nothing any more.
    if let Some(process) = unsafe { PROC.get(tgid) }.copied()
        // Of two threads that end at once both find nobody else alive: only one of them removes the entry.
        && PROC.remove(tgid).is_ok()
    {
        release(process.exec_id);
    }
}

/// One process less runs this image; with the last one it is forgotten.
#[inline(always)]
fn release(exec_id: ExecId) {
    const MINUS_ONE: u64 = u64::MAX;
    let Some(live) = LIVE.get_ptr_mut(exec_id) else {
        return;
    };
    // SAFETY: a value of a map, which the kernel aligns and keeps.
    if unsafe { fetch_add(live, MINUS_ONE) } != 1 {
        return;
    }
    let _ = LIVE.remove(exec_id);
    let _ = IMAGE.remove(exec_id);
    let Some(mut entry) = EXECS.reserve::<ExecEvent>(0) else {
        count(lost::EXECS);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation has room for exactly this type, and is filled with zeros first: an event is
    // too long for the 512 bytes of a program's stack.
    unsafe {
        ptr::write_bytes(event.cast::<u8>(), 0, size_of::<ExecEvent>());
        (*event).kind = exec::ENDED;
        (*event).exec_id = exec_id;
        (*event).at = now();
    }
    entry.submit(0);
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

#[inline(always)]
fn tell_executed(process: &Process, parent: ExecId, tgid: u32, file: &ExecutedFile, bprm: usize) {
    // Newer kernels keep a flag in the top bits of the nanoseconds (fs.h, I_CTIME_QUERIED).
    const NANOS: u32 = 0x3fff_ffff;
    let Some(mut entry) = EXECS.reserve::<ExecEvent>(0) else {
        count(lost::EXECS);
        return;
    };
    let offsets = offsets();
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation has room for exactly this type, and every byte of it is set: the fields one
    // by one, and the name by zeros before the path.
    unsafe {
        ptr::write_bytes(event.cast::<u8>(), 0, size_of::<ExecEvent>());
        (*event).kind = exec::EXECUTED;
        (*event).flags = process.flags;
        (*event).exec_id = process.exec_id;
        (*event).parent = parent;
        (*event).at = now();
        (*event).inode = file.number;
        (*event).size = read(file.inode, offsets.inode_size);
        (*event).changed = read(file.inode, offsets.inode_changed);
        (*event).changed_nanos = read::<u32>(file.inode, offsets.inode_changed_nanos) & NANOS;
        (*event).device = file.device;
        (*event).generation = read(file.inode, offsets.inode_generation);
        (*event).links = read(file.inode, offsets.inode_links);
        (*event).tgid = tgid;
        (*event).scope = process.scope;
        let name: usize = read(bprm, offsets.binprm_filename);
        let _ = bpf_probe_read_kernel_str_bytes(name as *const u8, &mut (*event).name);
    }
    entry.submit(0);
}

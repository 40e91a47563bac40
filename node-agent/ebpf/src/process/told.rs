//! What the node agent is told of an execution.

use aya_ebpf::helpers::bpf_probe_read_kernel_str_bytes;
use lanyard_node_agent_abi::{
    cause::lost,
    event::{ARGUMENTS, ExecEvent, evidence, exec},
    process::{ExecId, Process, marks},
};

use super::{
    ExecutedFile, arguments, environment,
    image::{Evidence, Origin},
    zero::zero,
};
use crate::{
    maps::{EXECS, SCRATCH, Scratch},
    refusal::{count, now},
    settings::{offsets, read},
    subject::marks_of,
};

/// Puts the event together, and returns what it says of the environment.
#[inline(always)]
pub(super) fn gather(
    process: &Process,
    parent: ExecId,
    origin: &Origin,
    tgid: u32,
    file: &ExecutedFile,
    bprm: usize,
    task: usize,
) -> Evidence {
    let mut evidence = environment::scan(task);
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        evidence.bits |= evidence::LOADER_UNREAD;
        return evidence;
    };
    let offsets = offsets();
    let name: usize = read(bprm, offsets.binprm_filename);
    let interpreter: usize = read(bprm, offsets.binprm_interpreter);
    if interpreter != name {
        evidence.bits |= evidence::SCRIPT;
    }
    let arguments = if marks_of(process.scope) & marks::ARGUMENTS != 0 {
        let (length, unread) = arguments::copy(task, scratch);
        evidence.bits |= unread;
        length
    } else {
        0
    };
    evidence.bits |= u32::from(origin.level) << evidence::PARENT_LEVEL
        | u32::from(origin.children) << evidence::PARENT_CHILDREN;
    // SAFETY: a value of a map; every byte of it is set: the fields one by one, and the name by zeros before
    // the path.
    unsafe {
        let event = &raw mut (*scratch).event;
        zero(event);
        (*event).kind = exec::EXECUTED;
        (*event).flags = process.flags;
        (*event).exec_id = process.exec_id;
        (*event).parent = parent;
        (*event).at = now();
        describe(event, file);
        (*event).tgid = tgid;
        (*event).scope = process.scope;
        (*event).loader = evidence.loader;
        (*event).evidence = evidence.bits;
        (*event).arguments = arguments;
        let _ = bpf_probe_read_kernel_str_bytes(name as *const u8, &mut (*event).name);
    }
    evidence
}

/// # Safety
///
/// `event` is a value of a map.
#[inline(always)]
unsafe fn describe(event: *mut ExecEvent, file: &ExecutedFile) {
    // Newer kernels keep a flag in the top bits of the nanoseconds (fs.h, I_CTIME_QUERIED).
    const NANOS: u32 = 0x3fff_ffff;
    let offsets = offsets();
    // SAFETY: the caller's promise.
    unsafe {
        (*event).inode = file.number;
        (*event).size = read(file.inode, offsets.inode_size);
        (*event).changed = read(file.inode, offsets.inode_changed);
        (*event).changed_nanos = read::<u32>(file.inode, offsets.inode_changed_nanos) & NANOS;
        (*event).device = file.device;
        (*event).generation = read(file.inode, offsets.inode_generation);
        (*event).links = read(file.inode, offsets.inode_links);
    }
}

/// Sends what was put together, with as many bytes of arguments as there are.
#[inline(always)]
pub(super) fn tell() {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        count(lost::EXECS);
        return;
    };
    // SAFETY: a value of a map.
    let arguments = unsafe { (*scratch).event.arguments } as u64;
    let arguments = if arguments > ARGUMENTS as u64 {
        ARGUMENTS as u64
    } else {
        arguments
    };
    let length = size_of::<ExecEvent>() as u64 + arguments;
    if output(scratch, length) != 0 {
        count(lost::EXECS);
    }
}

#[inline(always)]
fn output(scratch: *mut Scratch, length: u64) -> i64 {
    use aya_ebpf::helpers::generated::bpf_ringbuf_output;
    // SAFETY: the ring, and the first bytes of a value of a map that is longer than `length`.
    unsafe {
        bpf_ringbuf_output(
            (&raw const EXECS).cast_mut().cast(),
            scratch.cast(),
            length,
            0,
        )
    }
}

//! The arguments of a new image, for scopes whose identity asks for them.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use lanyard_node_agent_abi::event::{ARGUMENTS, evidence};

use crate::{
    maps::Scratch,
    settings::{offsets, read},
};

/// Copies the arguments of the task behind the event: how many bytes, and what is to be said of them.
#[inline(always)]
pub(super) fn copy(task: usize, scratch: *mut Scratch) -> (u32, u32) {
    let offsets = offsets();
    let memory: usize = read(task, offsets.task_memory);
    let start: u64 = read(memory, offsets.memory_arguments);
    let end: u64 = read(memory, offsets.memory_arguments_end);
    if memory == 0 || end < start {
        return (0, evidence::ARGUMENTS_UNREAD);
    }
    let length = end - start;
    let (length, cut) = if length > ARGUMENTS as u64 {
        (ARGUMENTS as u64, evidence::ARGUMENTS_UNREAD)
    } else {
        (length, 0)
    };
    // SAFETY: a member of a value of a map, at least as long as is named; the helper checks where it reads.
    let failed = unsafe {
        bpf_probe_read_user(
            (&raw mut (*scratch).arguments).cast(),
            length as u32,
            start as *const _,
        )
    };
    if failed == 0 {
        (length as u32, cut)
    } else {
        (0, evidence::ARGUMENTS_UNREAD)
    }
}

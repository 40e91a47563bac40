//! The first process of a container: the one that its runtime was told to start.

use aya_ebpf::{bindings::BPF_EXIST, helpers::bpf_get_current_cgroup_id};
use lanyard_node_agent_abi::pod::container;

use crate::{
    maps::CONTAINER,
    settings::{offsets, read},
};

/// Whether this execution begins a container: the first one, in its cgroup, of the process that is number 1 of a process
/// namespace of its own. What a runtime executes before, while it makes the container, has another number, and so has
/// what `kubectl exec` and `nsenter` bring into it.
#[inline(always)]
pub(super) fn begins(task: usize) -> bool {
    // SAFETY: no argument.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    // SAFETY: one word is read once.
    if unsafe { CONTAINER.get(cgroup) } != Some(&container::FRESH) || !is_first_of_namespace(task) {
        return false;
    }
    // A container that is gone does not begin; and where it cannot be noted that one has, it has none.
    CONTAINER
        .insert(cgroup, container::BEGUN, u64::from(BPF_EXIST))
        .is_ok()
}

/// Whether the task is number 1 of another process namespace than the machine's.
#[inline(always)]
fn is_first_of_namespace(task: usize) -> bool {
    /// `MAX_PID_NS_LEVEL`, include/linux/pid_namespace.h
    const DEEPEST: u32 = 32;
    /// `sizeof(struct upid)`: the number, and the namespace's address.
    const EACH: u32 = 16;
    let offsets = offsets();
    let number: usize = read(task, offsets.task_number);
    let level: u32 = read(number, offsets.number_level);
    if number == 0 || level == 0 || level > DEEPEST {
        return false;
    }
    read::<i32>(number, offsets.number_each + level * EACH) == 1
}

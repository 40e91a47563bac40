//! Cgroups that are made and removed: a pod's belongs to its scope from birth, and so does whatever is made in it.
//!
//! The kernel calls here before a new cgroup can be seen by anybody (`cgroup_mkdir`, before `kernfs_activate`), so that no
//! process can be in it and not be in its scope.

use aya_ebpf::{
    helpers::{bpf_get_current_uid_gid, bpf_probe_read_kernel_str_bytes},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use lanyard_node_agent_abi::{
    cause::Cause,
    pod::{CGROUP_NAME, container},
};

use crate::{
    maps::{CONTAINER, POD, SCOPE},
    refusal::count,
    settings::{offsets, read},
};

/// `cgroup_mkdir(cgroup, path)`
#[btf_tracepoint(function = "cgroup_mkdir")]
pub(crate) fn on_cgroup_made(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    if let Some(made) = Made::of(cgroup as usize) {
        mark(&made);
    }
    0
}

/// `cgroup_rmdir(cgroup, path)`
#[btf_tracepoint(function = "cgroup_rmdir")]
pub(crate) fn on_cgroup_removed(ctx: BtfTracePointContext) -> i32 {
    let cgroup: *const u8 = ctx.arg(0);
    if let Some(removed) = Made::of(cgroup as usize) {
        // One of a scope that is not a pod's is forgotten by the node agent, when it forgets the scope.
        if CONTAINER.remove(removed.id).is_ok() {
            let _ = SCOPE.remove(removed.id);
        }
    }
    0
}

/// Twice the same is once: while one generation of programs takes the place of another, both are attached.
#[inline(always)]
fn mark(made: &Made) {
    let mut name = [0; CGROUP_NAME];
    // SAFETY: the helper checks the address it reads from, and the buffer is as long as it is told.
    let _ = unsafe { bpf_probe_read_kernel_str_bytes(made.name as *const u8, &mut name) };
    // SAFETY: one word is read once.
    if let Some(scope) = unsafe { POD.get(name) }
        && is_root()
    {
        put(made.id, *scope, container::POD);
        return;
    }
    // SAFETY: one word is read once.
    let Some(scope) = (unsafe { SCOPE.get(made.parent) }) else {
        return;
    };
    // SAFETY: one word is read once.
    let kind = match unsafe { CONTAINER.get(made.parent) } {
        Some(&container::POD) => container::FRESH,
        // Within a container, nothing begins anew.
        Some(_) => container::BEGUN,
        // Of a scope that is not a pod's: only root makes them, and nothing is put into them.
        None => return,
    };
    put(made.id, *scope, kind);
}

/// Whether the machine's root makes it, as a kubelet or systemd does. Whoever else may make cgroups, in a part that was
/// delegated to them, makes no pod by a pod's name: the first that begins in it would be taken for the agent.
#[inline(always)]
fn is_root() -> bool {
    // As the machine sees it, whatever the task's own user namespace calls it (bpf-helpers(7)).
    bpf_get_current_uid_gid() as u32 == 0
}

/// What finds no room is counted, and the node agent looks for it.
#[inline(always)]
fn put(cgroup: u64, scope: u32, kind: u32) {
    const IF_MISSING: u64 = 1;
    if SCOPE.insert(cgroup, scope, 0).is_err() {
        count(Cause::MapFull as u32);
        return;
    }
    // The other generation of programs may have been here, and the container may have begun since.
    let is_put = CONTAINER.insert(cgroup, kind, IF_MISSING).is_ok();
    // SAFETY: only whether it is there is looked at.
    if !is_put && unsafe { CONTAINER.get(cgroup) }.is_none() {
        count(Cause::MapFull as u32);
    }
}

/// A cgroup of the second version.
struct Made {
    id: u64,
    parent: u64,
    /// Where its own name is.
    name: usize,
}

impl Made {
    #[inline(always)]
    fn of(cgroup: usize) -> Option<Self> {
        /// Of `cgrp_dfl_root`, kernel/cgroup/cgroup.c
        const UNIFIED: i32 = 0;
        let offsets = offsets();
        let root: usize = read(cgroup, offsets.cgroup_root);
        let node: usize = read(cgroup, offsets.cgroup_node);
        // `cgroup.self` is the first member, so that the parent's is the parent (cgroup_parent()).
        let parent: usize = read(cgroup, offsets.cgroup_parent);
        if root == 0
            || node == 0
            || parent == 0
            || read::<i32>(root, offsets.root_hierarchy) != UNIFIED
        {
            return None;
        }
        let parent_node: usize = read(parent, offsets.cgroup_node);
        Some(Self {
            id: read(node, offsets.node_id),
            parent: read(parent_node, offsets.node_id),
            name: read(node, offsets.node_name),
        })
    }
}

//! Counting what is refused, and telling the node agent of it.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    event::{RefusalEvent, refusal},
    process::quota,
    tag::Tag,
    unix,
};

use crate::{
    maps::{COUNTER, REFUSALS, USAGE},
    route::Attempt,
    shared_count::fetch_add,
    subject::Subject,
};

/// Adds one to a counter of this processor.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(counter) = COUNTER.get_ptr_mut(index) {
        // SAFETY: this processor's own element, and programs of one kind do not interrupt each other.
        unsafe { *counter += 1 }
    }
}

/// Nanoseconds of the boot clock.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: no argument.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Counts and reports a refusal of what a task tried. In an observed scope it was not refused, and the event
/// says so.
#[inline(always)]
pub(crate) fn report_attempt(subject: &Subject, attempt: &Attempt, cause: Cause) {
    report_unix(subject, attempt, cause, None);
}

/// As [`report_attempt`], about a unix socket.
#[inline(always)]
pub(crate) fn report_unix(
    subject: &Subject,
    attempt: &Attempt,
    cause: Cause,
    path: Option<&[u8; unix::PATH]>,
) {
    let marks = if subject.is_observed() {
        refusal::OBSERVED
    } else {
        0
    };
    report(
        RefusalEvent {
            exec_id: match subject.process {
                Some(process) => process.exec_id,
                None => 0,
            },
            at: now(),
            tgid: subject.tgid,
            scope: subject.scope,
            cause: cause as u32,
            slot: 0,
            address: attempt.address,
            port: attempt.port,
            protocol: attempt.protocol as u16,
            marks,
            path: [0; unix::PATH],
        },
        path,
        cause,
    );
}

/// Counts and reports a refused packet of a tagged socket.
#[inline(always)]
pub(crate) fn report_packet(tag: &Tag, address: &[u8; 16], port: u16, cause: Cause) {
    report(
        RefusalEvent {
            exec_id: tag.exec_id,
            at: now(),
            tgid: tag.tgid,
            scope: tag.scope,
            cause: cause as u32,
            slot: tag.slot,
            address: *address,
            port,
            protocol: tag.protocol as u16,
            marks: 0,
            path: [0; unix::PATH],
        },
        None,
        cause,
    );
}

#[inline(always)]
fn report(event: RefusalEvent, path: Option<&[u8; unix::PATH]>, cause: Cause) {
    count(cause as u32);
    if !has_share(event.scope, event.at) {
        count(lost::LIMITED);
        return;
    }
    match REFUSALS.reserve::<RefusalEvent>(0) {
        Some(mut entry) => {
            // SAFETY: the reservation has room for exactly this type.
            unsafe {
                let target = entry.as_mut_ptr();
                ptr::write(target, event);
                if let Some(path) = path {
                    (*target).path = *path;
                }
            }
            entry.submit(0);
        }
        None => count(lost::REFUSALS),
    }
}

/// Whether the scope may tell one more refusal in this second. What is told beyond would keep others from
/// being told.
#[inline(always)]
fn has_share(scope: u32, at: u64) -> bool {
    const SECOND: u64 = 1_000_000_000;
    let Some(usage) = USAGE.get_ptr_mut(scope) else {
        return true; // a scope that is being removed
    };
    let second = at / SECOND;
    // SAFETY: a value of a map, which the kernel aligns and keeps. Two processors that find a new second at
    // once both begin it at nothing, which tells a few more.
    unsafe {
        if (*usage).second != second {
            (*usage).second = second;
            (*usage).refusals = 0;
        }
        fetch_add(&raw mut (*usage).refusals, 1) < quota::REFUSALS
    }
}

//! Counting what is refused, and telling the node agent of it.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    event::RefusalEvent,
    tag::Tag,
};

use crate::{
    maps::{COUNTER, REFUSALS},
    route::Attempt,
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

/// Counts and reports a refusal of what a task tried.
#[inline(always)]
pub(crate) fn report_attempt(subject: &Subject, attempt: &Attempt, cause: Cause) {
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
            reserved: 0,
        },
        cause,
    );
}

/// Counts and reports a refused packet of a tagged socket.
#[inline(always)]
pub(crate) fn report_packet(tag: &Tag, cause: Cause) {
    report(
        RefusalEvent {
            exec_id: tag.exec_id,
            at: now(),
            tgid: tag.tgid,
            scope: tag.scope,
            cause: cause as u32,
            slot: tag.slot,
            address: tag.address,
            port: tag.port,
            protocol: tag.protocol as u16,
            reserved: 0,
        },
        cause,
    );
}

#[inline(always)]
fn report(event: RefusalEvent, cause: Cause) {
    count(cause as u32);
    match REFUSALS.reserve::<RefusalEvent>(0) {
        Some(mut entry) => {
            // SAFETY: the reservation has room for exactly this type.
            unsafe { ptr::write(entry.as_mut_ptr(), event) }
            entry.submit(0);
        }
        None => count(lost::REFUSALS),
    }
}

//! The environment of a new image: which variables it has that change what it loads.
//!
//! Read here and not from `/proc`, where the process can write over it.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_kernel_str, bpf_probe_read_user_str};
use lanyard_node_agent_abi::event::{LOADER_NAME, OWN_VARIABLE, evidence};

use super::{image::Evidence, zero::zero};
use crate::{
    maps::{LOADER, OWN_VARIABLE as OWN_VARIABLES, SCRATCH, VARIABLE},
    settings::{offsets, read},
};

/// The most pieces of the environment that are looked at: a longer one counts as not read.
const PIECES: u32 = 2048;

/// How far the environment was read.
#[repr(C)]
struct Reading {
    at: u64,
    end: u64,
    loader: u64,
    /// Whether the piece at hand goes on a variable that was longer than a piece.
    goes_on: u32,
    failed: u32,
}

/// What the environment of the task says.
#[inline(always)]
pub(super) fn scan(task: usize) -> Evidence {
    let offsets = offsets();
    let memory: usize = read(task, offsets.task_memory);
    let mut reading = Reading {
        at: read(memory, offsets.memory_environment),
        end: read(memory, offsets.memory_environment_end),
        loader: 0,
        goes_on: 0,
        failed: u32::from(memory == 0),
    };
    // SAFETY: the callback has the signature that the helper calls (bpf-helpers(7)), and `reading` lives
    // through the call.
    let _ = unsafe { bpf_loop(PIECES, piece as *mut c_void, (&raw mut reading).cast(), 0) };
    let is_whole = reading.failed == 0 && reading.at >= reading.end;
    Evidence {
        loader: reading.loader,
        bits: if is_whole { 0 } else { evidence::LOADER_UNREAD },
    }
}

/// One variable, or a piece of a long one. 1 ends the loop.
#[inline(never)]
extern "C" fn piece(_index: u64, context: *mut c_void) -> i64 {
    // SAFETY: `scan` passes its own `Reading`.
    let reading = unsafe { &mut *context.cast::<Reading>() };
    if reading.at >= reading.end {
        return 1;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        reading.failed = 1;
        return 1;
    };
    // SAFETY: a member of a value of a map.
    let variable = unsafe { &raw mut (*scratch).variable };
    // SAFETY: a buffer of exactly the length that is named; the helper checks the address it reads from.
    let length = unsafe {
        bpf_probe_read_user_str(
            variable.cast(),
            VARIABLE as u32,
            reading.at as *const c_void,
        )
    };
    if length <= 0 {
        reading.failed = 1;
        return 1;
    }
    if reading.goes_on == 0 {
        // SAFETY: the helper has just written it, and `own` is another member of the same value.
        let (variable, own) = unsafe { (&*variable, &mut (*scratch).own) };
        let counts = name_of(variable);
        if counts != 0 && !is_own(variable, own) {
            reading.loader |= counts;
        }
    }
    // With its final NUL, a text of the whole buffer was cut.
    if length as usize >= VARIABLE {
        reading.goes_on = 1;
        reading.at += VARIABLE as u64 - 1;
    } else {
        reading.goes_on = 0;
        reading.at += length as u64;
    }
    0
}

/// Whether it is exactly what Lanyard itself sets.
#[inline(always)]
fn is_own(variable: &[u8; VARIABLE], own: &mut [u8; OWN_VARIABLE]) -> bool {
    // The map compares the zeros behind a text too.
    // SAFETY: a member of a value of a map, where its place is checked.
    unsafe { zero(own) };
    // SAFETY: a buffer of exactly the length that is named; the helper checks the address it reads from.
    let length = unsafe {
        bpf_probe_read_kernel_str(
            own.as_mut_ptr().cast(),
            OWN_VARIABLE as u32,
            variable.as_ptr().cast(),
        )
    };
    // With its final NUL, a text of the whole buffer was cut.
    let is_whole = length > 0 && (length as usize) < OWN_VARIABLE;
    // SAFETY: only whether it is there is looked at.
    is_whole && unsafe { OWN_VARIABLES.get(own) }.is_some()
}

/// The bit for a variable that counts, by its name.
#[inline(always)]
fn name_of(variable: &[u8; VARIABLE]) -> u64 {
    if variable[0] == b'L' && variable[1] == b'D' && variable[2] == b'_' {
        return evidence::LOADER_PREFIX;
    }
    let mut name = [0; LOADER_NAME];
    let mut at = 0;
    while at < LOADER_NAME {
        let byte = variable[at];
        if byte == b'=' {
            break;
        }
        if byte == 0 || at == LOADER_NAME - 1 {
            return 0;
        }
        name[at] = byte;
        at += 1;
    }
    // SAFETY: one word is read once; the table is written before any program is attached.
    match unsafe { LOADER.get(name) } {
        Some(number) => 1 << (*number & 63),
        None => 0,
    }
}

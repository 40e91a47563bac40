//! What a scope uses of the maps that all scopes share.

use lanyard_node_agent_abi::process::Usage;

use crate::{maps::USAGE, shared_count::fetch_add};

/// One of the counts in [`Usage`].
#[derive(Clone, Copy)]
pub(crate) enum Share {
    /// Entries of `PROC`.
    Processes,
    /// Entries of `LIVE` and `IMAGE`.
    Images,
    /// Entries of `HANDOVER`.
    Handovers,
}

/// Counts one more of it; false, and nothing is counted, when the scope has its full share.
#[inline(always)]
pub(crate) fn take(scope: u32, share: Share, most: u64) -> bool {
    let Some(usage) = USAGE.get_ptr_mut(scope) else {
        return false; // a scope that is being removed
    };
    let count = count_of(usage, share);
    // SAFETY: a value of a map, which the kernel aligns and keeps.
    if unsafe { fetch_add(count, 1) } < most {
        return true;
    }
    // SAFETY: as above.
    let _ = unsafe { fetch_add(count, MINUS_ONE) };
    false
}

/// Counts one less of it.
#[inline(always)]
pub(crate) fn give_back(scope: u32, share: Share) {
    if let Some(usage) = USAGE.get_ptr_mut(scope) {
        // SAFETY: a value of a map, which the kernel aligns and keeps.
        let _ = unsafe { fetch_add(count_of(usage, share), MINUS_ONE) };
    }
}

const MINUS_ONE: u64 = u64::MAX;

#[inline(always)]
fn count_of(usage: *mut Usage, share: Share) -> *mut u64 {
    // SAFETY: the members of a value of a map.
    unsafe {
        match share {
            Share::Processes => &raw mut (*usage).processes,
            Share::Images => &raw mut (*usage).images,
            Share::Handovers => &raw mut (*usage).handovers,
        }
    }
}

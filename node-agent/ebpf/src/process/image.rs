//! What an image is while nobody has looked at it, and its end.

use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    event::{ExecEvent, evidence, exec},
    process::{ExecId, Image, Process, children, flags, level, marks, quota},
};

use super::zero::zero;
use crate::{
    maps::{EXECS, IMAGE, LIVE},
    refusal::{count, now},
    share::{self, Share},
    shared_count::fetch_add,
    subject::marks_of,
};

/// What the image was that an execution came from.
pub(super) struct Origin {
    pub(super) level: u8,
    pub(super) children: u8,
}

impl Origin {
    #[inline(always)]
    pub(super) fn of(parent: ExecId) -> Self {
        // SAFETY: copied at once; an entry is replaced as a whole.
        match unsafe { IMAGE.get(parent) } {
            Some(image) if image.principal != 0 => Self {
                level: image.level,
                children: image.children,
            },
            _ => Self {
                level: level::NONE,
                children: children::NONE,
            },
        }
    }

    #[inline(always)]
    fn is_inherited(&self) -> bool {
        self.level >= level::LINEAGE && self.children == children::INHERIT
    }
}

/// What was found at the root's file before it was executed.
pub(super) struct Shown {
    pub(super) level: u8,
    pub(super) children: u8,
}

impl Shown {
    /// It was not looked at.
    pub(super) const NOTHING: Self = Self {
        level: level::NONE,
        children: children::NONE,
    };
}

/// What was seen of an execution's environment.
pub(super) struct Evidence {
    pub(super) loader: u64,
    pub(super) bits: u32,
}

/// Makes the entries of a new image; false if there is no room for them. An image without is refused.
#[inline(always)]
pub(super) fn begin(
    process: &Process,
    origin: &Origin,
    evidence: &Evidence,
    shown: &Shown,
) -> bool {
    if !share::take(process.scope, Share::Images, quota::IMAGES) {
        count(Cause::QuotaUsedUp as u32);
        return false;
    }
    let image = provisional(process, origin, evidence, shown);
    if LIVE.insert(process.exec_id, 1, 0).is_ok() && IMAGE.insert(process.exec_id, image, 0).is_ok()
    {
        return true;
    }
    let _ = LIVE.remove(process.exec_id);
    share::give_back(process.scope, Share::Images);
    count(Cause::MapFull as u32);
    false
}

/// What is known at once. What came into the scope from outside, or is not the file that was shown, is
/// refused; the rest is some process of the scope, or what it inherits. The root's file was looked at before.
#[inline(always)]
fn provisional(process: &Process, origin: &Origin, evidence: &Evidence, shown: &Shown) -> Image {
    let has = |mark: u32| process.flags & mark != 0;
    let is_refused = !has(flags::ROOTED)
        || has(flags::OTHER_FILE)
        || (has(flags::TRACED) && marks_of(process.scope) & marks::DEBUG == 0);
    if is_refused {
        return Image {
            principal: 0,
            level: level::NONE,
            children: children::NONE,
            settled: 1,
            reserved: 0,
        };
    }
    let is_watched = has(flags::UNCONFINED) || has(flags::TRACED);
    let is_clean = evidence.loader == 0 && evidence.bits & evidence::LOADER_UNREAD == 0;
    let (level, children) = if shown.level != level::NONE && is_clean && !is_watched {
        (shown.level, shown.children)
    } else if origin.is_inherited() && !is_watched {
        (level::LINEAGE, children::INHERIT)
    } else {
        (level::SCOPE, children::NONE)
    };
    Image {
        principal: process.scope,
        level,
        children,
        settled: 0,
        reserved: 0,
    }
}

/// One process less runs this image; with the last one it is forgotten.
#[inline(always)]
pub(super) fn release(exec_id: ExecId, scope: u32) {
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
    share::give_back(scope, Share::Images);
    let Some(mut entry) = EXECS.reserve::<ExecEvent>(0) else {
        count(lost::EXECS);
        return;
    };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation has room for exactly this type, and is filled with zeros first: an event is
    // too long for the 512 bytes of a program's stack.
    unsafe {
        zero(event);
        (*event).kind = exec::ENDED;
        (*event).exec_id = exec_id;
        (*event).at = now();
    }
    entry.submit(0);
}

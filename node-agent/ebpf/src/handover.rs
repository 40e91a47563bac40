//! `getsockopt(2)` of the broker: who is on the other end of an accepted connection, and where it wanted
//! to go. No privilege is needed, for only sockets accepted from a scope have an answer.

use core::ptr::write_volatile;

use aya_ebpf::{macros::cgroup_sockopt, programs::SockoptContext};
use lanyard_node_agent_abi::tag::{SOCKET_LEVEL, SOCKET_OPTION_TAG, Tag, side};

use crate::socket_storage::tag_of;

/// The kernel has answered already, with an error for a level it does not know.
#[cgroup_sockopt(getsockopt)]
pub(crate) fn getsockopt(ctx: SockoptContext) -> i32 {
    const GO_ON: i32 = 1;
    let options = ctx.sockopt;
    // SAFETY: the context of this run.
    let (level, option) = unsafe { ((*options).level, (*options).optname) };
    if level != SOCKET_LEVEL || option != SOCKET_OPTION_TAG {
        return GO_ON;
    }
    // SAFETY: the context of this run; the member is a socket or null.
    let socket = unsafe { (*options).__bindgen_anon_1.sk };
    let Some(tag) = tag_of(socket.cast()) else {
        return GO_ON;
    };
    if tag.side != side::BROKER {
        return GO_ON;
    }
    // SAFETY: the context of this run; two ends of the answer's buffer.
    let (start, end) = unsafe {
        (
            (*options).__bindgen_anon_2.optval as usize,
            (*options).__bindgen_anon_3.optval_end as usize,
        )
    };
    if start + Tag::SIZE > end {
        return GO_ON;
    }
    let source = (&raw const *tag).cast::<u64>();
    let target = start as *mut u64;
    for word in 0..Tag::SIZE / size_of::<u64>() {
        // SAFETY: a tag is nine whole words; the buffer has room for them, as just compared, and the
        // verifier checks that very comparison. Volatile, so that it stays a loop over words.
        unsafe { write_volatile(target.add(word), source.add(word).read()) };
    }
    // SAFETY: the context of this run. Volatile, for the verifier refuses one store for both members.
    unsafe {
        write_volatile(&raw mut (*options).optlen, Tag::SIZE as i32);
        write_volatile(&raw mut (*options).retval, 0);
    }
    GO_ON
}

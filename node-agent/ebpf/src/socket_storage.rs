//! Storage that lives and dies with a socket.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, bpf_map_type::BPF_MAP_TYPE_SK_STORAGE},
    helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
};
use lanyard_node_agent_abi::tag::Tag;

/// The tag of each socket of a scope. Cloned to what a listening socket accepts, so that no accepted socket
/// of a scope is without one.
#[btf_map]
static TAG: SocketStorage<Tag> = SocketStorage::new();

/// A map in BTF form: the types of its members are its settings. `aya-ebpf` 0.2 has one for
/// `SockAddrContext` alone.
#[repr(C)]
struct SocketStorage<T> {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: the members are never read or written; they only carry types to the loader.
unsafe impl<T> Sync for SocketStorage<T> {}

impl<T> SocketStorage<T> {
    const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }
}

/// The tag of `socket`, if it has one.
#[inline(always)]
pub(crate) fn tag_of(socket: *mut c_void) -> Option<&'static mut Tag> {
    if socket.is_null() {
        return None;
    }
    // SAFETY: the verifier checks that `socket` is a socket; the entry lives as long as it, and so
    // longer than this run of the program. Two processors may write one tag at once; each field is
    // written whole, and every value that is ever written is one that the rules allow.
    unsafe {
        bpf_sk_storage_get(
            (&raw const TAG).cast_mut().cast(),
            socket,
            ptr::null_mut(),
            0,
        )
        .cast::<Tag>()
        .as_mut()
    }
}

/// Sets the tag of `socket`; false when there is no memory for it.
#[inline(always)]
pub(crate) fn set_tag(socket: *mut c_void, tag: &Tag) -> bool {
    const CREATE: u64 = 1;
    if socket.is_null() {
        return false;
    }
    // SAFETY: as in `tag_of`; the helper only reads the initial value, before the call returns.
    let entry = unsafe {
        bpf_sk_storage_get(
            (&raw const TAG).cast_mut().cast(),
            socket,
            ptr::from_ref(tag).cast_mut().cast(),
            CREATE,
        )
        .cast::<Tag>()
        .as_mut()
    };
    match entry {
        Some(entry) => {
            *entry = *tag;
            true
        }
        None => false,
    }
}

//! The kernel programs of the node agent: one object for every kernel from 6.1 on.
//!
//! One file for each thing the kernel does for us. Every program asks first whether it is about a scope
//! at all; what is not is left alone. Inside a scope whatever is missing (a process, an image, a grant, a
//! slot, room in a map) means no.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    unsafe_code,
    reason = "the kernel hands out raw pointers; each use says why it is sound"
)]

mod bind;
mod cgroup;
mod connect;
mod create;
mod flow;
mod granted;
mod handover;
mod listener;
mod maps;
mod packet;
mod peer_name;
mod process;
mod refusal;
mod resolver;
mod route;
mod settings;
mod share;
mod shared_count;
mod socket_option;
mod socket_storage;
mod subject;
mod unix_socket;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that nothing here panics: a path to this loop would not load.
    loop {}
}

/// The kernel lends helpers such as `bpf_ktime_get_boot_ns` to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

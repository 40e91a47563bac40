//! `connect(2)` and `sendto(2)` of unix sockets: a pathname socket leads to a process that need not be in a
//! scope, and can be asked to act there.
//!
//! What is compared is the caller's own string, before the kernel resolves it. That is enough for as long as the
//! caller can change neither a part of a listed path nor what paths mean to it: the node agent lists no path that
//! the agent's user could write, and a process whose namespaces are not held by a seccomp filter reaches nothing.
//!
//! The loader puts these programs in by hand: `aya` knows neither their attach types nor kernel functions. Kernels
//! before 6.7 have no such hook, and the programs are left out there.

use core::{
    ffi::{c_long, c_void},
    mem::transmute,
};

use aya_ebpf::{
    bindings::bpf_sock_addr, helpers::generated::bpf_probe_read_kernel_str,
    macros::cgroup_sock_addr, programs::SockAddrContext,
};
use lanyard_node_agent_abi::{
    cause::Cause,
    kernel_function,
    process::flags,
    unix::{PATH, SUN_PATH, UnixKey},
};

use crate::{
    connect::{ALLOW, REFUSE},
    maps::UNIX_SOCKET,
    refusal::report_unix,
    route::{self, Attempt},
    settings::{offsets, read},
    subject::{self, Subject},
};

/// A stream, or a datagram socket that is given a peer. The section's name is one that `aya` can read; the loader
/// attaches to `BPF_CGROUP_UNIX_CONNECT`.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect_unix(ctx: SockAddrContext) -> i32 {
    verdict(ctx.sock_addr)
}

/// One datagram. The loader attaches to `BPF_CGROUP_UNIX_SENDMSG`.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg_unix(ctx: SockAddrContext) -> i32 {
    verdict(ctx.sock_addr)
}

#[inline(always)]
fn verdict(address: *mut bpf_sock_addr) -> i32 {
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    let mut key = UnixKey {
        scope: subject.scope,
        path: [0; PATH],
    };
    let answer = if read_path(address, &mut key.path) {
        reach(&subject, &key)
    } else {
        Err(Cause::UnixSocket)
    };
    match answer {
        Ok(()) => ALLOW,
        Err(cause) => {
            report_unix(&subject, &Attempt::NOWHERE, cause, Some(&key.path));
            if subject.is_observed() { ALLOW } else { REFUSE }
        }
    }
}

/// Whether the subject may reach that socket.
#[inline(always)]
fn reach(subject: &Subject, key: &UnixKey) -> Result<(), Cause> {
    // SAFETY: nothing is read through the reference.
    if unsafe { UNIX_SOCKET.get(key) }.is_none() {
        return Err(Cause::UnixSocket);
    }
    let Some(process) = &subject.process else {
        return Err(Cause::NoProcess);
    };
    if process.flags & flags::UNCONFINED != 0 {
        return Err(Cause::UnixSocket);
    }
    route::image_of(subject).map(|_| ())
}

/// Copies what the caller wrote into `sun_path`, up to the first NUL as `unix_mkname_bsd` does (net/unix/af_unix.c).
/// Behind it stands what the caller's buffer happened to hold. An abstract name begins with a NUL, which no listed
/// path does. False if nothing could be read.
#[inline(always)]
fn read_path(address: *mut bpf_sock_addr, path: &mut [u8; PATH]) -> bool {
    const FAMILY: u32 = 2;
    let offsets = offsets();
    // SAFETY: the context of this run, as `bpf_cast_to_kern_ctx` takes it. The number stands for that function until
    // the loader puts its own in its place.
    let context = unsafe {
        let cast: unsafe extern "C" fn(*mut c_void) -> *mut c_void =
            transmute(kernel_function::CAST_TO_KERNEL_CONTEXT as usize);
        cast(address.cast())
    } as usize;
    let name: usize = read(context, offsets.sock_addr_name);
    let length: u32 = read(context, offsets.sock_addr_name_length);
    if name == 0 || length <= FAMILY {
        return false;
    }
    let length = (length - FAMILY).min(SUN_PATH as u32);
    let start = name + FAMILY as usize;
    if !copy(path.as_mut_ptr(), length, start) {
        return false;
    }
    // SAFETY: behind the first byte of `path` there is room for one byte less than was asked for above.
    path[0] != 0 || copy(unsafe { path.as_mut_ptr().add(1) }, length - 1, start + 1)
}

/// Copies at most `length` bytes that end with a NUL there or do not.
#[inline(always)]
fn copy(to: *mut u8, length: u32, from: usize) -> bool {
    // SAFETY: `to` has room for one byte more than `length`, for the NUL that the helper always ends with; the
    // helper checks the address it reads from.
    let copied: c_long =
        unsafe { bpf_probe_read_kernel_str(to.cast(), length + 1, from as *const c_void) };
    copied > 0
}

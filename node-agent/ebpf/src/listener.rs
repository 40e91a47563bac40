//! Who is on the other end of loopback: the socket there is looked up, and its tag says which scope it is of.
//!
//! An address alone says nothing: whoever binds a port first may leave it to another before it listens, and
//! of several sockets that share a port the kernel chooses one by both ends of the connection.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{bpf_sock, bpf_sock_tuple},
    helpers::generated::{bpf_sk_lookup_tcp, bpf_sk_lookup_udp, bpf_sk_release},
};

use crate::{
    route::{TCP, UDP},
    socket_storage::tag_of,
};

/// A socket that was looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is none.
    Nobody,
    /// It belongs to this scope.
    Scope(u32),
    /// It belongs to no scope.
    Outside,
}

/// Where a packet comes from and goes to: addresses as IPv6 or v4-mapped, ports in network order. With 0 as
/// the sender's port it is a packet of a socket that has none yet.
pub(crate) struct Path {
    pub(crate) from: [u8; 16],
    pub(crate) to: [u8; 16],
    pub(crate) from_port: u16,
    pub(crate) to_port: u16,
}

#[repr(C)]
struct Tuple4 {
    from: [u8; 4],
    to: [u8; 4],
    from_port: u16,
    to_port: u16,
}

#[repr(C)]
struct Tuple6 {
    from: [u8; 16],
    to: [u8; 16],
    from_port: u16,
    to_port: u16,
}

/// The socket that would receive such a packet, in the network namespace of `context`.
#[inline(always)]
pub(crate) fn receiver(context: *mut c_void, protocol: u8, path: &Path) -> Found {
    if is_v4(&path.to) {
        let tuple = Tuple4 {
            from: last4(&path.from),
            to: last4(&path.to),
            from_port: path.from_port,
            to_port: path.to_port,
        };
        look(
            context,
            protocol,
            (&raw const tuple).cast(),
            size_of::<Tuple4>(),
        )
    } else {
        let tuple = Tuple6 {
            from: path.from,
            to: path.to,
            from_port: path.from_port,
            to_port: path.to_port,
        };
        look(
            context,
            protocol,
            (&raw const tuple).cast(),
            size_of::<Tuple6>(),
        )
    }
}

#[inline(always)]
fn look(context: *mut c_void, protocol: u8, tuple: *const bpf_sock_tuple, size: usize) -> Found {
    // BPF_F_CURRENT_NETNS, include/uapi/linux/bpf.h
    const HERE: u64 = u64::MAX;
    let tuple = tuple.cast_mut();
    // SAFETY: the context of this run, and a tuple of the length that is named, which the helper only reads.
    let socket: *mut bpf_sock = unsafe {
        match protocol {
            TCP => bpf_sk_lookup_tcp(context, tuple, size as u32, HERE, 0),
            UDP => bpf_sk_lookup_udp(context, tuple, size as u32, HERE, 0),
            _ => return Found::Outside,
        }
    };
    if socket.is_null() {
        return Found::Nobody;
    }
    let found = match tag_of(socket.cast()) {
        Some(tag) => Found::Scope(tag.scope),
        None => Found::Outside,
    };
    // SAFETY: a socket that the lookup took a reference of, given back once.
    unsafe { bpf_sk_release(socket.cast()) };
    found
}

/// Whether an address (IPv4 as `::ffff:a.b.c.d`) is this machine's own: 127.0.0.0/8, `::1`, and the two that
/// the kernel takes for them, 0.0.0.0 and `::`.
#[inline(always)]
pub(crate) fn is_loopback(address: &[u8; 16]) -> bool {
    if is_v4(address) {
        return address[12] == 127 || is_zero4(address);
    }
    is_zero12(address)
        && address[12] == 0
        && address[13] == 0
        && address[14] == 0
        && address[15] <= 1
}

/// An address as the kernel will really use it: 0.0.0.0 and `::` are 127.0.0.1 and `::1` to it.
#[inline(always)]
pub(crate) fn as_used(address: &[u8; 16]) -> [u8; 16] {
    let mut used = *address;
    if is_v4(address) && is_zero4(address) {
        used[12] = 127;
        used[15] = 1;
    } else if is_loopback(address) && !is_v4(address) {
        used[15] = 1;
    }
    used
}

/// Link-local addresses, where clouds answer with credentials: no grant for a network reaches them.
#[inline(always)]
pub(crate) fn is_link_local(address: &[u8; 16]) -> bool {
    if is_v4(address) {
        return address[12] == 169 && address[13] == 254;
    }
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

#[inline(always)]
pub(crate) fn is_v4(address: &[u8; 16]) -> bool {
    word(address, 0) == 0 && word(address, 4) == 0 && word(address, 8) == 0x0000_ffff_u32.to_be()
}

#[inline(always)]
fn is_zero4(address: &[u8; 16]) -> bool {
    word(address, 12) == 0
}

#[inline(always)]
fn is_zero12(address: &[u8; 16]) -> bool {
    word(address, 0) == 0 && word(address, 4) == 0 && word(address, 8) == 0
}

#[inline(always)]
fn last4(address: &[u8; 16]) -> [u8; 4] {
    [address[12], address[13], address[14], address[15]]
}

#[inline(always)]
fn word(address: &[u8; 16], at: usize) -> u32 {
    u32::from_ne_bytes([
        address[at],
        address[at + 1],
        address[at + 2],
        address[at + 3],
    ])
}

//! `connect(2)`: decides, tags the socket, and leads to the broker what the broker carries.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::bpf_sock_addr,
    helpers::{bpf_get_socket_cookie, generated::bpf_set_retval},
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use lanyard_node_agent_abi::{cause::Cause, grant::carrier};

use crate::{
    flow::tell_connected,
    refusal::report_attempt,
    route::{self, Attempt, TCP, UDP},
    subject::{self, Subject},
};

pub(crate) const ALLOW: i32 = 1;
pub(crate) const REFUSE: i32 = 0;
/// 127.0.0.1 in network order.
pub(crate) const LOOPBACK4: u32 = u32::from_ne_bytes([127, 0, 0, 1]);
/// The last word of `::1` in network order.
pub(crate) const LOOPBACK6: u32 = 1_u32.to_be();

/// IPv4.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    let address = ctx.sock_addr;
    let attempt = Attempt {
        address: mapped(user_ip4(address)),
        port: user_port(address),
        protocol: protocol(address),
    };
    verdict(address, &subject, &attempt, |carrier| {
        let port = broker_port(&subject, carrier, attempt.protocol, false)?;
        // SAFETY: the context of this run; the verifier knows these members as writable.
        unsafe {
            (*address).user_ip4 = LOOPBACK4;
            (*address).user_port = u32::from(port);
        }
        Ok(())
    })
}

/// IPv6, and IPv4 in its clothes.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    let address = ctx.sock_addr;
    let words = user_ip6(address);
    let is_mapped = is_mapped(&words);
    let attempt = Attempt {
        address: bytes(&words),
        port: user_port(address),
        protocol: protocol(address),
    };
    verdict(address, &subject, &attempt, |carrier| {
        let port = broker_port(&subject, carrier, attempt.protocol, !is_mapped)?;
        // SAFETY: the context of this run; the verifier knows these members as writable.
        unsafe {
            if is_mapped {
                (*address).user_ip6[3] = LOOPBACK4;
            } else {
                (*address).user_ip6[0] = 0;
                (*address).user_ip6[1] = 0;
                (*address).user_ip6[2] = 0;
                (*address).user_ip6[3] = LOOPBACK6;
            }
            (*address).user_port = u32::from(port);
        }
        Ok(())
    })
}

#[inline(always)]
fn verdict(
    address: *mut bpf_sock_addr,
    subject: &Subject,
    attempt: &Attempt,
    redirect: impl FnOnce(u8) -> Result<(), Cause>,
) -> i32 {
    // SAFETY: the context of this run.
    let cookie = unsafe { bpf_get_socket_cookie(address.cast()) };
    let answer = match route::connect(address.cast(), socket(address), cookie, subject, attempt) {
        Ok(carrier::NONE | carrier::LOCAL) => Ok(()),
        Ok(carrier::DIRECT) => {
            if attempt.protocol == UDP {
                tell_connected(socket(address));
            }
            Ok(())
        }
        // A datagram that waits for its process to be attested is lost: nobody can hold it.
        Ok(carrier::HOLD) if attempt.protocol == UDP => Ok(()),
        Ok(carrier) => redirect(carrier),
        Err(cause) => Err(cause),
    };
    match answer {
        Ok(()) => ALLOW,
        Err(cause) => refuse(address, subject, attempt, cause),
    }
}

/// Refuses, unless the scope is only observed. Where nobody listens the answer is the ordinary one: programs
/// that wait for a server of their own to come up ask again and again.
#[inline(always)]
pub(crate) fn refuse(
    address: *mut bpf_sock_addr,
    subject: &Subject,
    attempt: &Attempt,
    cause: Cause,
) -> i32 {
    const ECONNREFUSED: i32 = 111;
    if !subject.is_observed()
        && cause as u32 == Cause::NoGrant as u32
        && route::is_nobody_there(address.cast(), attempt)
    {
        // SAFETY: no pointer.
        unsafe { bpf_set_retval(-ECONNREFUSED) };
        return REFUSE;
    }
    report_attempt(subject, attempt, cause);
    if subject.is_observed() { ALLOW } else { REFUSE }
}

/// The broker's port for what it carries.
#[inline(always)]
pub(crate) fn broker_port(
    subject: &Subject,
    carrier: u8,
    protocol: u8,
    v6: bool,
) -> Result<u16, Cause> {
    let Some(ports) = route::settings_of(subject.scope) else {
        return Err(Cause::NoBroker);
    };
    let port = if carrier == carrier::RESOLVER && protocol == UDP {
        if v6 { ports.dns6 } else { ports.dns4 }
    } else if v6 {
        ports.tcp6
    } else {
        ports.tcp4
    };
    if port == 0 {
        Err(Cause::NoBroker)
    } else {
        Ok(port)
    }
}

/// `sk` of the context.
#[inline(always)]
pub(crate) fn socket(address: *mut bpf_sock_addr) -> *mut c_void {
    // SAFETY: the context of this run; the member is a pointer or null.
    unsafe { (*address).__bindgen_anon_1.sk.cast() }
}

#[inline(always)]
fn protocol(address: *mut bpf_sock_addr) -> u8 {
    const STREAM: u32 = 1;
    const DATAGRAM: u32 = 2;
    // SAFETY: the context of this run.
    match unsafe { ((*address).type_, (*address).protocol) } {
        (STREAM, 6) => TCP,
        (DATAGRAM, 17) => UDP,
        _ => 0,
    }
}

/// The port of the context, in network order.
#[inline(always)]
pub(crate) fn user_port(address: *mut bpf_sock_addr) -> u16 {
    // SAFETY: the context of this run; the upper half of the member is 0.
    unsafe { (*address).user_port as u16 }
}

/// The IPv4 address of the context, in network order.
#[inline(always)]
pub(crate) fn user_ip4(address: *mut bpf_sock_addr) -> u32 {
    // SAFETY: the context of this run.
    unsafe { (*address).user_ip4 }
}

/// The IPv6 address of the context, in network order.
#[inline(always)]
pub(crate) fn user_ip6(address: *mut bpf_sock_addr) -> [u32; 4] {
    // SAFETY: the context of this run; read word by word, as the verifier wants it.
    unsafe {
        [
            (*address).user_ip6[0],
            (*address).user_ip6[1],
            (*address).user_ip6[2],
            (*address).user_ip6[3],
        ]
    }
}

/// Whether an IPv6 address is `::ffff:a.b.c.d`.
#[inline(always)]
pub(crate) fn is_mapped(words: &[u32; 4]) -> bool {
    words[0] == 0 && words[1] == 0 && words[2] == 0x0000_ffff_u32.to_be()
}

/// An IPv4 address in network order as `::ffff:a.b.c.d`.
#[inline(always)]
pub(crate) fn mapped(v4: u32) -> [u8; 16] {
    bytes(&mapped_words(v4))
}

/// The words of [`mapped`].
#[inline(always)]
pub(crate) fn mapped_words(v4: u32) -> [u32; 4] {
    [0, 0, 0x0000_ffff_u32.to_be(), v4]
}

/// The bytes of an IPv6 address whose words are in network order.
#[inline(always)]
pub(crate) fn bytes(words: &[u32; 4]) -> [u8; 16] {
    let (a, b, c, d) = (
        words[0].to_ne_bytes(),
        words[1].to_ne_bytes(),
        words[2].to_ne_bytes(),
        words[3].to_ne_bytes(),
    );
    [
        a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2],
        d[3],
    ]
}

//! UDP without connect: datagrams to port 53 go to the scope's resolver and seem to come from where they
//! were sent to; others go where each of them is granted.

use aya_ebpf::{
    bindings::bpf_sock_addr, helpers::bpf_get_socket_cookie, macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use lanyard_node_agent_abi::{cause::Cause, grant::carrier, tag::Tag};

use crate::{
    connect::{
        self, ALLOW, LOOPBACK4, LOOPBACK6, REFUSE, broker_port, bytes, is_mapped, mapped,
        mapped_words, socket, user_ip4, user_ip6, user_port,
    },
    refusal::report_attempt,
    route::{self, Attempt, UDP, untied_tag},
    socket_storage::{set_tag, tag_of},
    subject::{self, Subject},
};

/// IPv4.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg4(ctx: SockAddrContext) -> i32 {
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    let address = ctx.sock_addr;
    let attempt = Attempt {
        address: mapped(user_ip4(address)),
        port: user_port(address),
        protocol: UDP,
    };
    if is_led(address, &subject) {
        return ALLOW;
    }
    if !attempt.is_for_resolver() {
        return send(address, &subject, &attempt);
    }
    match lead_to_resolver(address, &subject, &attempt, false) {
        Ok(port) => {
            // SAFETY: the context of this run; the verifier knows these members as writable.
            unsafe {
                (*address).user_ip4 = LOOPBACK4;
                (*address).user_port = u32::from(port);
            }
            ALLOW
        }
        Err(cause) => refuse(&subject, &attempt, cause),
    }
}

/// IPv6. The kernel takes no rewritten v4-mapped address here (udpv6_sendmsg), and hands v4-mapped ones to
/// the IPv4 hook itself.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn sendmsg6(ctx: SockAddrContext) -> i32 {
    let Some(subject) = subject::current() else {
        return ALLOW;
    };
    let address = ctx.sock_addr;
    let words = user_ip6(address);
    let attempt = Attempt {
        address: bytes(&words),
        port: user_port(address),
        protocol: UDP,
    };
    if is_mapped(&words) {
        return refuse(&subject, &attempt, Cause::NoGrant);
    }
    if !attempt.is_for_resolver() {
        return send(address, &subject, &attempt);
    }
    match lead_to_resolver(address, &subject, &attempt, true) {
        Ok(port) => {
            // SAFETY: the context of this run; the verifier knows these members as writable.
            unsafe {
                (*address).user_ip6[0] = 0;
                (*address).user_ip6[1] = 0;
                (*address).user_ip6[2] = 0;
                (*address).user_ip6[3] = LOOPBACK6;
                (*address).user_port = u32::from(port);
            }
            ALLOW
        }
        Err(cause) => refuse(&subject, &attempt, cause),
    }
}

/// IPv4.
#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn recvmsg4(ctx: SockAddrContext) -> i32 {
    let address = ctx.sock_addr;
    if let Some(tag) = resolver_tag(address)
        && let Some(ports) = route::settings_of(tag.scope)
        && user_ip4(address) == LOOPBACK4
        && user_port(address) == ports.dns4
    {
        let [.., a, b, c, d] = tag.address;
        // SAFETY: the context of this run; the verifier knows these members as writable.
        unsafe {
            (*address).user_ip4 = u32::from_ne_bytes([a, b, c, d]);
            (*address).user_port = u32::from(tag.port);
        }
    }
    ALLOW
}

/// IPv6, and an IPv6 socket that asked a v4-mapped server.
#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn recvmsg6(ctx: SockAddrContext) -> i32 {
    let address = ctx.sock_addr;
    let (from, port) = (user_ip6(address), user_port(address));
    if let Some(tag) = resolver_tag(address)
        && let Some(ports) = route::settings_of(tag.scope)
        && ((from == [0, 0, 0, LOOPBACK6] && port == ports.dns6)
            || (from == mapped_words(LOOPBACK4) && port == ports.dns4))
    {
        let word = |at: usize| {
            u32::from_ne_bytes([
                tag.address[at],
                tag.address[at + 1],
                tag.address[at + 2],
                tag.address[at + 3],
            ])
        };
        // SAFETY: the context of this run; the verifier knows these members as writable.
        unsafe {
            (*address).user_ip6[0] = word(0);
            (*address).user_ip6[1] = word(4);
            (*address).user_ip6[2] = word(8);
            (*address).user_ip6[3] = word(12);
            (*address).user_port = u32::from(tag.port);
        }
    }
    ALLOW
}

#[inline(always)]
fn lead_to_resolver(
    address: *mut bpf_sock_addr,
    subject: &Subject,
    attempt: &Attempt,
    v6: bool,
) -> Result<u16, Cause> {
    let port = broker_port(subject, carrier::RESOLVER, UDP, v6)?;
    let mut tag = untied_tag(subject, attempt);
    tag.carrier = carrier::RESOLVER;
    // SAFETY: the context of this run.
    tag.cookie = unsafe { bpf_get_socket_cookie(address.cast()) };
    if set_tag(socket(address), &tag) {
        Ok(port)
    } else {
        Err(Cause::MapFull)
    }
}

/// Whether a datagram is on its way to the resolver already. An IPv6 socket that is connected to a v4-mapped
/// address names it to IPv4 with every datagram (udpv6_sendmsg), and so it comes here although it is connected.
#[inline(always)]
fn is_led(address: *mut bpf_sock_addr, subject: &Subject) -> bool {
    resolver_tag(address).is_some()
        && user_ip4(address) == LOOPBACK4
        && route::settings_of(subject.scope).is_some_and(|ports| user_port(address) == ports.dns4)
}

#[inline(always)]
fn resolver_tag(address: *mut bpf_sock_addr) -> Option<Tag> {
    tag_of(socket(address))
        .copied()
        .filter(|tag| tag.carrier == carrier::RESOLVER)
}

/// One datagram. The socket remembers who sent from it last: its packets are compared with what that process
/// may reach.
#[inline(always)]
fn send(address: *mut bpf_sock_addr, subject: &Subject, attempt: &Attempt) -> i32 {
    let answer = route::send(address.cast(), subject, attempt);
    let mut tag = match tag_of(socket(address)) {
        Some(tag) => *tag,
        None => untied_tag(subject, &Attempt::NOWHERE),
    };
    tag.protocol = UDP;
    tag.tgid = subject.tgid;
    tag.exec_id = match subject.process {
        Some(process) => process.exec_id,
        None => 0,
    };
    if answer.is_err() && subject.is_observed() {
        tag.carrier = carrier::OBSERVED;
    } else if tag.carrier == carrier::OBSERVED && !subject.is_observed() {
        tag.carrier = carrier::NONE;
    }
    if !set_tag(socket(address), &tag) {
        return refuse(subject, attempt, Cause::MapFull);
    }
    match answer {
        Ok(()) => ALLOW,
        Err(cause) => connect::refuse(address, subject, attempt, cause),
    }
}

#[inline(always)]
fn refuse(subject: &Subject, attempt: &Attempt, cause: Cause) -> i32 {
    report_attempt(subject, attempt, cause);
    if subject.is_observed() { ALLOW } else { REFUSE }
}

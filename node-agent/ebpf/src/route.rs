//! Where an attempt of a process in a scope may go: the decision, in one place.

use core::ffi::c_void;

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::{GrantKey, Slot, carrier},
    process::{Process, ScopePorts, level},
    tag::{Tag, side},
    virtual_address::is_virtual,
};

use crate::{
    maps::{GRANT, IMAGE, PORTS, SLOT},
    refusal::now,
    socket_storage::set_tag,
    subject::Subject,
};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
/// Port 53 in network order.
const RESOLVER_PORT: u16 = 53_u16.to_be();
/// How long a connection may wait for its process to be attested, in nanoseconds.
const HOLD: u64 = 10_000_000_000;

/// What a process tries to reach.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    /// IPv6, or IPv4 as `::ffff:a.b.c.d`.
    pub(crate) address: [u8; 16],
    /// In network order.
    pub(crate) port: u16,
    /// [`TCP`] or [`UDP`], or what else the socket speaks.
    pub(crate) protocol: u8,
}

impl Attempt {
    /// An attempt to reach nowhere in particular.
    pub(crate) const NOWHERE: Self = Self {
        address: [0; 16],
        port: 0,
        protocol: 0,
    };

    /// Whether it asks for the scope's resolver.
    #[inline(always)]
    pub(crate) fn is_for_resolver(&self) -> bool {
        self.port == RESOLVER_PORT
    }
}

/// Decides a connect. The answer is who carries the socket from now on, and the socket is tagged so.
///
/// A UDP socket may be connected to a virtual address, for resolvers sort addresses that way; nothing
/// carries it, so that its packets are dropped.
#[inline(always)]
pub(crate) fn connect(
    socket: *mut c_void,
    cookie: u64,
    subject: &Subject,
    attempt: &Attempt,
) -> Result<u8, Cause> {
    let mut tag = untied_tag(subject, attempt);
    tag.cookie = cookie;
    let answer = choose(subject, attempt, &mut tag);
    if answer.is_err() {
        tag.carrier = carrier::NONE;
        tag.slot = 0;
    }
    // Also after a refusal: a socket that was connected before must not keep its old tag.
    if !set_tag(socket, &tag) {
        return Err(Cause::MapFull);
    }
    answer
}

#[inline(always)]
fn choose(subject: &Subject, attempt: &Attempt, tag: &mut Tag) -> Result<u8, Cause> {
    if attempt.is_for_resolver() && (attempt.protocol == TCP || attempt.protocol == UDP) {
        tag.carrier = carrier::RESOLVER;
        return Ok(carrier::RESOLVER);
    }
    if attempt.protocol == UDP {
        return if is_virtual(&attempt.address) {
            Ok(carrier::NONE)
        } else {
            Err(Cause::NoGrant)
        };
    }
    if attempt.protocol != TCP {
        return Err(Cause::SocketKind);
    }
    let Some(process) = subject.process else {
        return Err(Cause::NoProcess);
    };
    let Some(image) = image_of(&process) else {
        tag.carrier = carrier::HOLD;
        tag.held_until = now() + HOLD;
        return Ok(carrier::HOLD);
    };
    if image.0 == 0 {
        return Err(Cause::ImageRefused);
    }
    bind(tag, image.0, image.1)?;
    Ok(tag.carrier)
}

/// The image's principal and level, if it is attested or refused.
#[inline(always)]
fn image_of(process: &Process) -> Option<(u32, u8)> {
    // SAFETY: both words are read once; the node agent writes an entry once.
    unsafe { IMAGE.get(process.exec_id) }.map(|image| (image.principal, image.level as u8))
}

/// Ties `tag` to the grant for where it wants to go.
#[inline(always)]
fn bind(tag: &mut Tag, principal: u32, level: u8) -> Result<(), Cause> {
    let key = GrantKey {
        principal,
        port: tag.port,
        protocol: tag.protocol,
        level,
        address: tag.address,
    };
    // SAFETY: both words are read once; an entry is only ever replaced by another grant of that key.
    let Some(grant) = (unsafe { GRANT.get(key) }).copied() else {
        return Err(Cause::NoGrant);
    };
    let Some(slot) = slot(grant.slot) else {
        return Err(Cause::NoGrant);
    };
    if slot.deadline <= now() {
        return Err(Cause::GrantEnded);
    }
    tag.principal = principal;
    tag.level = level;
    tag.slot = grant.slot;
    tag.generation = slot.generation;
    tag.carrier = grant.carrier as u8;
    Ok(())
}

/// Whether a packet of a socket with this tag may pass now. A held one is tied to its grant by the first
/// packet after its process was attested.
#[inline(always)]
pub(crate) fn pass(tag: &mut Tag) -> Result<(), Cause> {
    if tag.carrier == carrier::HOLD {
        // SAFETY: both words are read once; the node agent writes an entry once.
        let image =
            unsafe { IMAGE.get(tag.exec_id) }.map(|image| (image.principal, image.level as u8));
        let Some(image) = image else {
            return if now() < tag.held_until {
                Ok(())
            } else {
                Err(Cause::HeldTooLong)
            };
        };
        if image.0 == 0 {
            return Err(Cause::ImageRefused);
        }
        bind(tag, image.0, image.1)?;
        // The connection is at the broker, whoever would carry a new one.
        tag.carrier = carrier::BROKER;
        return Ok(());
    }
    if tag.carrier == carrier::NONE {
        return Err(Cause::Untagged);
    }
    // SAFETY: one word is read once. An image that was the agent and is so no more has an entry that says it.
    if unsafe { IMAGE.get(tag.exec_id) }.is_some_and(|image| image.principal == 0) {
        return Err(Cause::ImageRefused);
    }
    match slot(tag.slot) {
        Some(slot) if slot.generation == tag.generation && slot.deadline > now() => Ok(()),
        Some(_) => Err(Cause::GrantEnded),
        None => Err(Cause::Untagged),
    }
}

#[inline(always)]
fn slot(number: u32) -> Option<Slot> {
    if number == 0 {
        return None;
    }
    SLOT.get(number).copied()
}

/// Where the scope's broker listens.
#[inline(always)]
pub(crate) fn ports(scope: u32) -> Option<ScopePorts> {
    // SAFETY: copied at once; eight bytes, written by the node agent before the scope has a process.
    unsafe { PORTS.get(scope) }.copied()
}

/// A tag that carries nothing.
#[inline(always)]
pub(crate) fn untied_tag(subject: &Subject, attempt: &Attempt) -> Tag {
    Tag {
        exec_id: match subject.process {
            Some(process) => process.exec_id,
            None => 0,
        },
        scope: subject.scope,
        tgid: subject.tgid,
        address: attempt.address,
        port: attempt.port,
        protocol: attempt.protocol,
        carrier: carrier::NONE,
        level: level::NONE,
        side: side::CLIENT,
        ..Tag::ZERO
    }
}

//! Where an attempt of a process in a scope may go: the decision, in one place.

use core::ffi::c_void;

use lanyard_node_agent_abi::{
    cause::Cause,
    grant::{GrantKey, carrier},
    process::{Image, Process, ScopeSettings, level, marks},
    tag::{Tag, side},
    virtual_address::is_virtual,
};

use crate::{
    granted::{Granted, Miss, granted},
    listener::{self, Found, Path},
    maps::{IMAGE, PROC, SETTINGS},
    refusal::now,
    socket_storage::set_tag,
    subject::{Subject, marks_of},
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
        self.port == RESOLVER_PORT && (self.protocol == TCP || self.protocol == UDP)
    }
}

/// Decides a connect. The answer is who carries the socket from now on, and the socket is tagged so.
///
/// A UDP socket may be connected to a virtual address, for resolvers sort addresses that way; nothing
/// carries it, so that its packets are dropped.
#[inline(always)]
pub(crate) fn connect(
    context: *mut c_void,
    socket: *mut c_void,
    cookie: u64,
    subject: &Subject,
    attempt: &Attempt,
) -> Result<u8, Cause> {
    let mut tag = untied_tag(subject, attempt);
    tag.cookie = cookie;
    let answer = choose(context, subject, attempt, &mut tag);
    if answer.is_err() {
        tag.carrier = if subject.is_observed() {
            carrier::OBSERVED
        } else {
            carrier::NONE
        };
        tag.slot = 0;
    }
    // Also after a refusal: a socket that was connected before must not keep its old tag.
    if !set_tag(socket, &tag) {
        return Err(Cause::MapFull);
    }
    answer
}

#[inline(always)]
fn choose(
    context: *mut c_void,
    subject: &Subject,
    attempt: &Attempt,
    tag: &mut Tag,
) -> Result<u8, Cause> {
    if attempt.is_for_resolver() {
        tag.carrier = carrier::RESOLVER;
        return Ok(carrier::RESOLVER);
    }
    let is_datagram = attempt.protocol == UDP;
    if is_datagram && is_virtual(&attempt.address) {
        return Ok(carrier::NONE);
    }
    if !is_datagram && attempt.protocol != TCP {
        return Err(Cause::SocketKind);
    }
    let image = image_of(subject)?;
    match granted(&key(&image, attempt), image.level) {
        Ok(granted) => {
            tie(tag, &image, &granted);
            Ok(tag.carrier)
        }
        Err(Miss::NotAtThisLevel) if image.settled == 0 && !subject.is_observed() => {
            tag.carrier = carrier::HOLD;
            tag.held_until = now() + HOLD;
            Ok(carrier::HOLD)
        }
        Err(Miss::Nothing) if listener::is_loopback(&attempt.address) => {
            local(context, subject, attempt, tag)
        }
        Err(miss) => Err(miss.cause()),
    }
}

/// Decides one datagram of a socket that need not be connected. One that waits for its process to be
/// attested is allowed here, and lost as packets are.
#[inline(always)]
pub(crate) fn send(
    context: *mut c_void,
    subject: &Subject,
    attempt: &Attempt,
) -> Result<(), Cause> {
    if is_virtual(&attempt.address) {
        return Err(Cause::NoGrant);
    }
    let image = image_of(subject)?;
    match granted(&key(&image, attempt), image.level) {
        Ok(_) => Ok(()),
        Err(Miss::NotAtThisLevel) if image.settled == 0 => Ok(()),
        Err(Miss::Nothing) if listener::is_loopback(&attempt.address) => {
            let mut tag = Tag::ZERO;
            local(context, subject, attempt, &mut tag).map(|_| ())
        }
        Err(miss) => Err(miss.cause()),
    }
}

/// What the subject's image is now: no more than `SCOPE` while somebody traces it, and nothing if that is
/// not allowed.
#[inline(always)]
pub(crate) fn image_of(subject: &Subject) -> Result<Image, Cause> {
    let Some(process) = subject.process else {
        return Err(Cause::NoProcess);
    };
    let Some(mut image) = known(&process) else {
        return Err(Cause::NoProcess);
    };
    if image.principal == 0 {
        return Err(Cause::ImageRefused);
    }
    if subject.is_traced(&process) {
        if subject.marks & marks::DEBUG == 0 {
            return Err(Cause::Traced);
        }
        image.level = level::SCOPE;
        image.settled = 1;
    }
    Ok(image)
}

#[inline(always)]
fn known(process: &Process) -> Option<Image> {
    // SAFETY: copied at once; an entry is replaced as a whole, never changed in place.
    unsafe { IMAGE.get(process.exec_id) }.copied()
}

/// A loopback address that nothing grants: decided by who listens there.
#[inline(always)]
fn local(
    context: *mut c_void,
    subject: &Subject,
    attempt: &Attempt,
    tag: &mut Tag,
) -> Result<u8, Cause> {
    let to = listener::as_used(&attempt.address);
    let path = Path {
        from: to,
        to,
        from_port: 0,
        to_port: attempt.port,
    };
    match listener::receiver(context, attempt.protocol, &path) {
        Found::Scope(scope) if scope == subject.scope => {
            tag.address = to;
            tag.carrier = carrier::LOCAL;
            Ok(carrier::LOCAL)
        }
        Found::Nobody => Err(Cause::NoGrant),
        Found::Scope(_) | Found::Outside => Err(Cause::OtherListener),
    }
}

/// Whether a loopback address that nothing grants has nobody who listens: then the answer is the one that
/// everybody gets.
#[inline(always)]
pub(crate) fn is_nobody_there(context: *mut c_void, attempt: &Attempt) -> bool {
    if !listener::is_loopback(&attempt.address) {
        return false;
    }
    let to = listener::as_used(&attempt.address);
    let path = Path {
        from: to,
        to,
        from_port: 0,
        to_port: attempt.port,
    };
    listener::receiver(context, attempt.protocol, &path) == Found::Nobody
}

#[inline(always)]
pub(crate) fn key(image: &Image, attempt: &Attempt) -> GrantKey {
    GrantKey {
        principal: image.principal,
        port: attempt.port,
        protocol: attempt.protocol,
        reserved: 0,
        address: attempt.address,
    }
}

#[inline(always)]
fn tie(tag: &mut Tag, image: &Image, granted: &Granted) {
    tag.principal = image.principal;
    tag.level = image.level;
    tag.slot = granted.slot;
    tag.generation = granted.generation;
    tag.carrier = granted.carrier;
}

/// What becomes of a packet.
pub(crate) enum Pass {
    Yes,
    /// Nobody knows yet: it is lost, as packets are.
    NotYet,
    No(Cause),
}

/// Whether a TCP packet of a socket with this tag may pass now. A held one is tied to its grant by the first
/// packet after its process was attested.
#[inline(always)]
pub(crate) fn pass(tag: &mut Tag) -> Pass {
    match tag.carrier {
        carrier::HOLD => held(tag),
        carrier::DIRECT | carrier::BROKER => tied(tag),
        carrier::OBSERVED if marks_of(tag.scope) & marks::OBSERVE != 0 => Pass::Yes,
        _ => Pass::No(Cause::Untagged),
    }
}

#[inline(always)]
fn held(tag: &mut Tag) -> Pass {
    // SAFETY: copied at once; an entry is replaced as a whole.
    let image = unsafe { IMAGE.get(tag.exec_id) }.copied();
    let Some(image) = image.filter(|image| image.settled != 0) else {
        return if now() < tag.held_until {
            Pass::Yes
        } else {
            Pass::No(Cause::HeldTooLong)
        };
    };
    if image.principal == 0 {
        return Pass::No(Cause::ImageRefused);
    }
    match granted(&key(&image, &wanted(tag)), image.level) {
        Ok(granted) => {
            tie(tag, &image, &granted);
            // The connection is at the broker, whoever would carry a new one.
            tag.carrier = carrier::BROKER;
            Pass::Yes
        }
        Err(miss) => Pass::No(miss.cause()),
    }
}

/// A packet under a slot. The process that connected may have executed something else since: then its new
/// image needs a right of its own.
#[inline(always)]
fn tied(tag: &mut Tag) -> Pass {
    // SAFETY: copied at once; a torn read mixes two values of one process.
    let owner = unsafe { PROC.get(tag.tgid) }.copied();
    if let Some(owner) = owner
        && owner.exec_id != tag.exec_id
        && owner.scope == tag.scope
    {
        return taken_over(tag, &owner);
    }
    // SAFETY: one word is read once. An image that was the agent and is so no more has an entry that says it.
    if unsafe { IMAGE.get(tag.exec_id) }.is_some_and(|image| image.principal == 0) {
        return Pass::No(Cause::ImageRefused);
    }
    match crate::granted::is_live(tag.slot, tag.generation) {
        Ok(()) => Pass::Yes,
        Err(cause) => Pass::No(cause),
    }
}

/// A connection at the broker ends with the image that made it: the broker knows it by that image. A direct
/// one goes on if the new image may reach the same.
#[inline(always)]
fn taken_over(tag: &mut Tag, owner: &Process) -> Pass {
    if tag.carrier != carrier::DIRECT {
        return Pass::No(Cause::ImageRefused);
    }
    let Some(image) = known(owner) else {
        return Pass::No(Cause::NoProcess);
    };
    if image.principal == 0 {
        return Pass::No(Cause::ImageRefused);
    }
    match granted(&key(&image, &wanted(tag)), image.level) {
        Ok(granted) => {
            tag.exec_id = owner.exec_id;
            tie(tag, &image, &granted);
            Pass::Yes
        }
        Err(Miss::NotAtThisLevel) if image.settled == 0 => Pass::NotYet,
        Err(miss) => Pass::No(miss.cause()),
    }
}

/// Whether a datagram between the socket of this tag and `peer` may pass now. Who sends it is the process
/// that connected the socket or sent from it last.
#[inline(always)]
pub(crate) fn pass_datagram(tag: &Tag, peer: &Attempt) -> Pass {
    // SAFETY: copied at once; a torn read mixes two values of one process.
    let owner = unsafe { PROC.get(tag.tgid) }.filter(|owner| owner.scope == tag.scope);
    let exec_id = match owner {
        Some(owner) => owner.exec_id,
        None => tag.exec_id,
    };
    // SAFETY: copied at once; an entry is replaced as a whole.
    let Some(image) = (unsafe { IMAGE.get(exec_id) }).copied() else {
        return Pass::No(Cause::NoProcess);
    };
    if image.principal == 0 {
        return Pass::No(Cause::ImageRefused);
    }
    match granted(&key(&image, peer), image.level) {
        Ok(granted) if granted.carrier == carrier::DIRECT => Pass::Yes,
        Ok(_) => Pass::No(Cause::Untagged),
        Err(Miss::NotAtThisLevel) if image.settled == 0 => Pass::NotYet,
        Err(miss) => Pass::No(miss.cause()),
    }
}

/// Where a tagged socket was to go.
#[inline(always)]
pub(crate) fn wanted(tag: &Tag) -> Attempt {
    Attempt {
        address: tag.address,
        port: tag.port,
        protocol: tag.protocol,
    }
}

/// Where the scope's broker listens, and what else holds in the scope.
#[inline(always)]
pub(crate) fn settings_of(scope: u32) -> Option<ScopeSettings> {
    // SAFETY: copied at once; written by the node agent before the scope has a process.
    unsafe { SETTINGS.get(scope) }.copied()
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

//! What a principal may reach, and until when.

use crate::plain::plain;

plain! {
    /// A destination of a principal. In `NETWORK` the same, behind the length of the prefix in bits, which
    /// counts from `principal` on.
    pub struct GrantKey {
        /// The agent, as this node numbers it within the scope.
        pub principal: u32,
        /// The port, in network order.
        pub port: u16,
        /// `IPPROTO_TCP` or `IPPROTO_UDP`.
        pub protocol: u8,
        /// 0, so that the size is whole.
        pub reserved: u8,
        /// IPv6, or IPv4 as `::ffff:a.b.c.d`.
        pub address: [u8; 16],
    }
}

plain! {
    /// How a granted destination is reached.
    pub struct Grant {
        /// Its slot at each level of evidence, `SCOPE` first; 0 where it is not granted.
        pub slots: [u32; LEVELS],
        /// [`carrier::DIRECT`] or [`carrier::BROKER`].
        pub carrier: u32,
    }
}

plain! {
    /// Until when, in an array of its own so that ending a grant is one store of eight bytes.
    pub struct Slot {
        /// Nanoseconds of the boot clock from which on nothing passes; 0 ends it at once.
        pub deadline: u64,
        /// Counts the uses of this slot: a tag of an earlier use is worth nothing.
        pub generation: u64,
    }
}

/// How many slots there are. Slot 0 is never used.
pub const SLOTS: u32 = 262_144;

/// How many levels of evidence there are, from [`crate::process::level::SCOPE`] on.
pub const LEVELS: usize = 3;

/// Bits of a [`GrantKey`] before the address: a prefix in `NETWORK` is longer by these.
pub const KEY_BITS: u32 = 64;

/// Who carries a socket's packets.
pub mod carrier {
    /// Nobody: every packet is dropped.
    pub const NONE: u8 = 0;
    /// The socket itself, to its destination.
    pub const DIRECT: u8 = 1;
    /// The broker.
    pub const BROKER: u8 = 2;
    /// The broker, until the image is attested.
    pub const HOLD: u8 = 3;
    /// The broker as the scope's resolver.
    pub const RESOLVER: u8 = 4;
    /// The socket itself, to a socket of its own scope on loopback.
    pub const LOCAL: u8 = 5;
    /// The socket itself, wherever it goes: the scope is observed.
    pub const OBSERVED: u8 = 6;
}

//! What a principal may reach, and until when.

use crate::plain::plain;

plain! {
    /// A destination of a principal at a level of evidence.
    pub struct GrantKey {
        /// The agent, as this node numbers it within the scope.
        pub principal: u32,
        /// The port, in network order.
        pub port: u16,
        /// `IPPROTO_TCP` or `IPPROTO_UDP`.
        pub protocol: u8,
        /// See [`crate::process::level`].
        pub level: u8,
        /// IPv6, or IPv4 as `::ffff:a.b.c.d`.
        pub address: [u8; 16],
    }
}

plain! {
    /// How a granted destination is reached.
    pub struct Grant {
        /// Its slot; never 0.
        pub slot: u32,
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
pub const SLOTS: u32 = 65_536;

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
}

//! What the kernel remembers of a socket, and hands to the broker that accepts its connection.

use crate::plain::plain;

plain! {
    /// A socket's tag. It is made with the socket, filled at connect, and copied to the socket that the
    /// broker accepts.
    pub struct Tag {
        /// The image that connected.
        pub exec_id: u64,
        /// The connecting socket's cookie.
        pub cookie: u64,
        /// The slot's generation when it was tagged.
        pub generation: u64,
        /// Boot-clock nanoseconds until which a held connection may wait.
        pub held_until: u64,
        /// The scope the socket was made in.
        pub scope: u32,
        /// The slot that bounds it; 0 while it has none.
        pub slot: u32,
        /// The agent, as this node numbers it within the scope; 0 while it is held.
        pub principal: u32,
        /// The thread group that connected.
        pub tgid: u32,
        /// Where it wanted to go: IPv6, or IPv4 as `::ffff:a.b.c.d`.
        pub address: [u8; 16],
        /// The port it wanted, in network order.
        pub port: u16,
        /// See [`crate::grant::carrier`].
        pub carrier: u8,
        /// See [`crate::process::level`].
        pub level: u8,
        /// See [`side`].
        pub side: u8,
        /// `IPPROTO_TCP` or `IPPROTO_UDP`.
        pub protocol: u8,
        /// 0, so that the size is whole.
        pub reserved: [u8; 2],
    }
}

/// Which end of a connection a tagged socket is.
pub mod side {
    /// The socket of a process in the scope.
    pub const CLIENT: u8 = 0;
    /// The socket that the broker accepted.
    pub const BROKER: u8 = 1;
    /// A socket on which the broker serves: only its scope reaches it.
    pub const SERVER: u8 = 2;
}

/// The level of `getsockopt` that answers with the [`Tag`]: no protocol of Linux has this number.
pub const SOCKET_LEVEL: i32 = 0xA7;

/// The option of [`SOCKET_LEVEL`] that answers with the [`Tag`] of an accepted socket.
pub const SOCKET_OPTION_TAG: i32 = 1;

impl Tag {
    /// How many bytes a tag has.
    pub const SIZE: usize = core::mem::size_of::<Self>();

    /// Reads a tag from the bytes the kernel answered with.
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        let half = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let mut address = [0; 16];
        address.copy_from_slice(&bytes[48..64]);
        Self {
            exec_id: word(0),
            cookie: word(8),
            generation: word(16),
            held_until: word(24),
            scope: half(32),
            slot: half(36),
            principal: half(40),
            tgid: half(44),
            address,
            port: u16::from_ne_bytes([bytes[64], bytes[65]]),
            carrier: bytes[66],
            level: bytes[67],
            side: bytes[68],
            protocol: bytes[69],
            reserved: [bytes[70], bytes[71]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_from_the_bytes_it_is() {
        let tag = Tag {
            exec_id: 1,
            cookie: 2,
            generation: 3,
            held_until: 4,
            scope: 5,
            slot: 6,
            principal: 7,
            tgid: 8,
            address: [9; 16],
            port: 10,
            carrier: 11,
            level: 12,
            side: 13,
            protocol: 14,
            reserved: [0; 2],
        };
        #[expect(unsafe_code, reason = "the kernel's view of a tag is its bytes")]
        // SAFETY: a tag has no padding, so that every one of its bytes is set.
        let bytes: [u8; Tag::SIZE] = unsafe { core::mem::transmute(tag) };
        assert_eq!(Tag::from_bytes(&bytes), tag);
    }
}

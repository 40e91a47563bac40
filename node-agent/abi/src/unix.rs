//! Unix sockets that processes of a scope may reach.

use crate::plain::plain;

/// `sun_path` of unix(7).
pub const PATH: usize = 108;

plain! {
    /// One pathname socket, exactly as the process must write it.
    pub struct UnixKey {
        /// The scope.
        pub scope: u32,
        /// The absolute path, filled up with zeros.
        pub path: [u8; PATH],
    }
}

//! Unix sockets that processes of a scope may reach.

use crate::plain::plain;

/// Length of `sun_path` in unix(7). A path may fill it to the last byte, without a NUL.
pub const SUN_PATH: usize = 108;

/// Room for such a path, and the NUL behind it.
pub const PATH: usize = 112;

plain! {
    /// One pathname socket, exactly as the process must write it.
    pub struct UnixKey {
        /// The scope.
        pub scope: u32,
        /// The absolute path, filled up with zeros.
        pub path: [u8; PATH],
    }
}

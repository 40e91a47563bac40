//! Scopes, processes and the images they execute.

use crate::plain::plain;

plain! {
    /// What is remembered of a process, by its thread group id. It follows fork and outlives moves
    /// between cgroups.
    pub struct Process {
        /// The executed image; see [`ExecId`].
        pub exec_id: u64,
        /// The scope the process is in.
        pub scope: u32,
        /// See [`flags`].
        pub flags: u32,
    }
}

/// Numbers executed images: unique until the machine starts again, never 0.
pub type ExecId = u64;

/// Bits of [`Process::flags`].
pub mod flags {
    /// Descends from the process that the scope was made for, by forks and executions alone.
    pub const ROOTED: u32 = 1;
    /// The scope's root executed another file than the one shown to the daemon: nothing that descends
    /// from it ever has an identity.
    pub const OTHER_FILE: u32 = 2;
}

plain! {
    /// Where the broker of a scope listens on loopback. Ports in network order; 0 where it does not.
    pub struct ScopePorts {
        /// TCP on 127.0.0.1.
        pub tcp4: u16,
        /// TCP on `::1`.
        pub tcp6: u16,
        /// DNS over UDP on 127.0.0.1.
        pub dns4: u16,
        /// DNS over UDP on `::1`.
        pub dns6: u16,
    }
}

plain! {
    /// The file that the next execution of a process must be, by its thread group id.
    pub struct ArmedFile {
        /// The inode's number.
        pub inode: u64,
        /// The device, as the kernel keeps it: major << 20 | minor.
        pub device: u32,
        /// 0, so that the size is whole.
        pub reserved: u32,
    }
}

plain! {
    /// What an executed image is, by its [`ExecId`]. No entry: not attested yet.
    pub struct Image {
        /// The agent, as this node numbers it within the scope; 0 when the image is refused.
        pub principal: u32,
        /// See [`level`].
        pub level: u32,
    }
}

/// Levels of evidence in [`Image::level`] and [`crate::grant::GrantKey::level`].
pub mod level {
    /// No identity.
    pub const NONE: u8 = 0;
    /// Some process of the scope.
    pub const SCOPE: u8 = 1;
    /// A descendant of an attested root.
    pub const LINEAGE: u8 = 2;
    /// The executed file itself is listed.
    pub const IMAGE: u8 = 3;
}

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
    /// Another process traced the image when it was executed, or when it tried to connect.
    pub const TRACED: u32 = 4;
    /// The scope's root was executed without a seccomp filter or without `no_new_privs`.
    pub const UNCONFINED: u32 = 8;
    /// The very execution with which a container began. Neither a fork has it nor a later execution.
    pub const FIRST: u32 = 16;
}

plain! {
    /// What holds for a whole scope, and where its broker listens on loopback. Ports in network order; 0
    /// where it does not listen.
    pub struct ScopeSettings {
        /// TCP on 127.0.0.1.
        pub tcp4: u16,
        /// TCP on `::1`.
        pub tcp6: u16,
        /// DNS over UDP on 127.0.0.1.
        pub dns4: u16,
        /// DNS over UDP on `::1`.
        pub dns6: u16,
        /// See [`marks`].
        pub marks: u32,
        /// 0, so that the size is whole.
        pub reserved: u32,
        /// The cookie of the network namespace that it listens in; 0 where it does not.
        pub namespace: u64,
    }
}

/// Bits of [`ScopeSettings::marks`].
pub mod marks {
    /// Nothing is refused; what would be is told.
    pub const OBSERVE: u32 = 1;
    /// A traced process keeps the level `SCOPE`; without it, it has none.
    pub const DEBUG: u32 = 2;
    /// Executions are told with their arguments.
    pub const ARGUMENTS: u32 = 4;
}

plain! {
    /// How much of the shared maps a scope uses now. The programs change it in single steps.
    pub struct Usage {
        /// Entries of `PROC`.
        pub processes: u64,
        /// Entries of `LIVE` and `IMAGE`.
        pub images: u64,
        /// Entries of `HANDOVER`.
        pub handovers: u64,
        /// The second of the boot clock that `refusals` counts in.
        pub second: u64,
        /// Refusals told in that second.
        pub refusals: u64,
    }
}

/// The most of each shared map that one scope may use.
pub mod quota {
    /// Entries of `PROC`.
    pub const PROCESSES: u64 = 16_384;
    /// Entries of `LIVE` and `IMAGE`.
    pub const IMAGES: u64 = 16_384;
    /// Entries of `HANDOVER`.
    pub const HANDOVERS: u64 = 4_096;
    /// Refusals told in a second.
    pub const REFUSALS: u64 = 256;
}

plain! {
    /// The file that the next execution of a process must be, by its thread group id.
    pub struct ArmedFile {
        /// The inode's number.
        pub inode: u64,
        /// The device, as the kernel keeps it: major << 20 | minor.
        pub device: u32,
        /// The level of that file with clean loader variables, 0 if it was not looked at; see [`level`].
        pub level: u8,
        /// What its executions inherit then; see [`children`].
        pub children: u8,
        /// 0, so that the size is whole.
        pub reserved: u16,
    }
}

plain! {
    /// What an executed image is, by its [`ExecId`]. The exec program makes the entry, the node agent
    /// settles it.
    pub struct Image {
        /// The agent, as this node numbers it within the scope; 0 when the image is refused.
        pub principal: u32,
        /// See [`level`].
        pub level: u8,
        /// What its executions inherit; see [`children`].
        pub children: u8,
        /// 1 when the node agent has looked at it: its level does not rise any more.
        pub settled: u8,
        /// 0, so that the size is whole.
        pub reserved: u8,
    }
}

/// Rules in [`Image::children`]: what an execution of an attested image inherits.
pub mod children {
    /// Nothing: it is judged by itself.
    pub const NONE: u8 = 0;
    /// The level `LINEAGE`, if it is listed.
    pub const LISTED: u8 = 1;
    /// The level `LINEAGE`, decided in the kernel.
    pub const INHERIT: u8 = 2;
}

/// Levels of evidence in [`Image::level`] and of the slots in [`crate::grant::Grant::slots`].
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

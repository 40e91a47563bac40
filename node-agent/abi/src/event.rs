//! What the kernel tells the node agent, in three rings, so that a flood of one kind starves no other.

use crate::plain::plain;

/// Longest name of an executed file that an event carries, with its final NUL.
pub const NAME: usize = 256;

plain! {
    /// Ring `EXECS`: an image was executed in a scope, or the last process of one ended.
    pub struct ExecEvent {
        /// [`exec::EXECUTED`] or [`exec::ENDED`].
        pub kind: u32,
        /// See [`crate::process::flags`].
        pub flags: u32,
        /// The image.
        pub exec_id: u64,
        /// The image it came from; 0 if none was tracked.
        pub parent: u64,
        /// Boot-clock nanoseconds.
        pub at: u64,
        /// The executed file's inode.
        pub inode: u64,
        /// Its size.
        pub size: u64,
        /// Seconds of its last change.
        pub changed: u64,
        /// Nanoseconds of its last change.
        pub changed_nanos: u32,
        /// Its device: major << 20 | minor.
        pub device: u32,
        /// Its generation.
        pub generation: u32,
        /// How many names it has; 0 for a deleted file or a memfd.
        pub links: u32,
        /// The thread group.
        pub tgid: u32,
        /// The scope.
        pub scope: u32,
        /// The path as it was given to execve, ended by a NUL; a script's for a script.
        pub name: [u8; NAME],
    }
}

/// Kinds of [`ExecEvent`].
pub mod exec {
    /// An image was executed.
    pub const EXECUTED: u32 = 1;
    /// The last process of an image ended or executed another.
    pub const ENDED: u32 = 2;
}

plain! {
    /// Ring `REFUSALS`: the kernel refused something.
    pub struct RefusalEvent {
        /// The image, 0 if none is known.
        pub exec_id: u64,
        /// Boot-clock nanoseconds.
        pub at: u64,
        /// The thread group, 0 for a packet.
        pub tgid: u32,
        /// The scope.
        pub scope: u32,
        /// A [`crate::cause::Cause`].
        pub cause: u32,
        /// The slot, 0 if none.
        pub slot: u32,
        /// Where to; zeros if it did not get so far.
        pub address: [u8; 16],
        /// The port, in network order.
        pub port: u16,
        /// The IP protocol, 0 if none.
        pub protocol: u16,
        /// 0, so that the size is whole.
        pub reserved: u32,
    }
}

plain! {
    /// Ring `FLOWS`: a tagged TCP connection was established.
    pub struct FlowEvent {
        /// The image.
        pub exec_id: u64,
        /// The socket's cookie.
        pub cookie: u64,
        /// Boot-clock nanoseconds.
        pub at: u64,
        /// The thread group.
        pub tgid: u32,
        /// The scope.
        pub scope: u32,
        /// The slot, 0 while it is held.
        pub slot: u32,
        /// See [`crate::grant::carrier`].
        pub carrier: u32,
        /// Where the process wanted to go.
        pub address: [u8; 16],
        /// The socket's own address.
        pub local: [u8; 16],
        /// The address it is really connected to.
        pub remote: [u8; 16],
        /// The wanted port, in network order.
        pub port: u16,
        /// The socket's own port, in network order.
        pub local_port: u16,
        /// The port it is really connected to, in network order.
        pub remote_port: u16,
        /// `AF_INET` or `AF_INET6`.
        pub family: u16,
    }
}

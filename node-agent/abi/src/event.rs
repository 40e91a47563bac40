//! What the kernel tells the node agent, in three rings, so that a flood of one kind starves no other.

use crate::{plain::plain, unix};

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
        /// Variables that change what a program loads: bit n for the name that `LOADER` numbers n, and
        /// [`evidence::LOADER_PREFIX`] for one that begins with `LD_`.
        pub loader: u64,
        /// See [`evidence`].
        pub evidence: u32,
        /// How many bytes of arguments follow the event, each argument ended by a NUL.
        pub arguments: u32,
        /// The path as it was given to execve, ended by a NUL; a script's for a script.
        pub name: [u8; NAME],
    }
}

/// Bits of [`ExecEvent::evidence`].
pub mod evidence {
    /// The file is an interpreter that the kernel chose by the first line of the file that was named.
    pub const SCRIPT: u32 = 1;
    /// The environment was not read to its end.
    pub const LOADER_UNREAD: u32 = 2;
    /// The arguments were not read to their end.
    pub const ARGUMENTS_UNREAD: u32 = 4;
    /// Where the level of the image it came from stands: two bits.
    pub const PARENT_LEVEL: u32 = 8;
    /// Where the rule for children of the image it came from stands: two bits.
    pub const PARENT_CHILDREN: u32 = 16;
    /// The bit of [`super::ExecEvent::loader`] for names that begin with `LD_`.
    pub const LOADER_PREFIX: u64 = 1 << 63;
}

/// The most bytes of arguments that follow an event.
pub const ARGUMENTS: usize = 4096;

/// The longest text in `OWN_VARIABLE`, with the zero behind it.
pub const OWN_VARIABLE: usize = 256;

/// The longest name in `LOADER`, filled up with zeros.
pub const LOADER_NAME: usize = 24;

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
        /// See [`refusal`].
        pub marks: u32,
        /// The path of a unix socket, ended by a NUL.
        pub path: [u8; unix::PATH],
    }
}

/// Bits of [`RefusalEvent::marks`].
pub mod refusal {
    /// The scope is observed: it was not refused.
    pub const OBSERVED: u32 = 1;
}

plain! {
    /// Ring `FLOWS`: a tagged socket was connected, or a connection ended.
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
        /// See [`flow`].
        pub kind: u32,
        /// `IPPROTO_TCP` or `IPPROTO_UDP`.
        pub protocol: u32,
    }
}

/// Kinds of [`FlowEvent`].
pub mod flow {
    /// A TCP connection was established.
    pub const ESTABLISHED: u32 = 1;
    /// A TCP connection ended.
    pub const CLOSED: u32 = 2;
    /// A UDP socket was connected: it has no local address yet.
    pub const CONNECTED: u32 = 3;
}

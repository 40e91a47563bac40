//! What is known of a machine.

use std::path::PathBuf;

/// What was found out. What could not be is absent, and said to be so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) kernel: Kernel,
    pub(super) limits: Limits,
    /// The node agent that was asked.
    pub(super) node_agent: NodeAgent,
    /// Services through which another process acts for whoever asks.
    pub(super) services: Vec<Service>,
    /// What of this folder a person or a tool executes later, outside a scope.
    pub(super) executed_later: Vec<String>,
    /// Whether the one who asks is root.
    pub(super) is_root: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a thing of its own that a kernel has or lacks"
)]
pub(super) struct Kernel {
    /// As `uname -r` prints it.
    pub(super) release: String,
    pub(super) architecture: String,
    /// Its own types, without which no offset is known.
    pub(super) has_types: bool,
    /// Hooks and helpers that the programs need and the types do not name.
    pub(super) lacking: Vec<&'static str>,
    /// Whether it has hooks for connects of unix sockets.
    pub(super) has_unix_hooks: bool,
    pub(super) has_seccomp: bool,
    /// The Landlock ABI, 0 without.
    pub(super) landlock: u32,
    /// Where cgroup v2 is mounted.
    pub(super) cgroup2: Option<PathBuf>,
    pub(super) has_bpf_filesystem: bool,
    /// Whether sockets can be destroyed; nothing when only root can find out.
    pub(super) destroys_sockets: Option<bool>,
    /// The mode of lockdown, where there is one.
    pub(super) lockdown: Option<String>,
    /// Yama's `ptrace_scope`, where there is one.
    pub(super) ptrace_scope: Option<u8>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes that may be locked; nothing for no limit.
    pub(super) locked_memory: Option<u64>,
    pub(super) swap_is_on: bool,
    /// Seconds since 1970 by the wall clock.
    pub(super) wall_clock: i64,
    /// Whether something keeps the clock right, as far as its own files say so.
    pub(super) clock_is_kept: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum NodeAgent {
    /// It answered.
    Answers {
        node: String,
        version: String,
        problems: usize,
        /// Whether an agent is only observed.
        observes: bool,
    },
    /// It did not, and this is why.
    Silent(String),
    /// Nobody is there.
    #[default]
    Absent,
}

/// A service of this machine that could run something outside the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) reached_by: ReachedBy,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReachedBy {
    /// A unix socket.
    Socket(PathBuf),
    /// A program that needs rights which `no_new_privs` takes away, or files that Landlock closes.
    Program(PathBuf),
}

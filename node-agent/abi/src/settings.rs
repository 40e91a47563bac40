//! What the loader writes into the programs' read-only data before the kernel checks them.

use crate::plain::plain;

plain! {
    /// Offsets of kernel struct members, in bytes, read from the running kernel's BTF.
    pub struct Offsets {
        /// `task_struct.pid`
        pub task_pid: u32,
        /// `task_struct.tgid`
        pub task_tgid: u32,
        /// `task_struct.signal`
        pub task_signal: u32,
        /// `signal_struct.live`
        pub signal_live: u32,
        /// `linux_binprm.file`
        pub binprm_file: u32,
        /// `linux_binprm.filename`
        pub binprm_filename: u32,
        /// `file.f_inode`
        pub file_inode: u32,
        /// `inode.i_ino`
        pub inode_number: u32,
        /// `inode.i_sb`
        pub inode_super_block: u32,
        /// `inode.i_generation`
        pub inode_generation: u32,
        /// `inode.i_size`
        pub inode_size: u32,
        /// `inode.i_nlink`
        pub inode_links: u32,
        /// Seconds of `inode.i_ctime`
        pub inode_changed: u32,
        /// Nanoseconds of `inode.i_ctime`
        pub inode_changed_nanos: u32,
        /// `super_block.s_dev`
        pub super_block_device: u32,
        /// `linux_binprm.interp`
        pub binprm_interpreter: u32,
        /// `task_struct.mm`
        pub task_memory: u32,
        /// `mm_struct.arg_start`
        pub memory_arguments: u32,
        /// `mm_struct.arg_end`
        pub memory_arguments_end: u32,
        /// `mm_struct.env_start`
        pub memory_environment: u32,
        /// `mm_struct.env_end`
        pub memory_environment_end: u32,
        /// `task_struct.ptrace`
        pub task_traced: u32,
        /// `task_struct.group_leader`
        pub task_leader: u32,
        /// `task_struct.atomic_flags`
        pub task_flags: u32,
        /// `task_struct.seccomp.mode`
        pub task_seccomp: u32,
        /// `bpf_sock_addr_kern.uaddr`
        pub sock_addr_name: u32,
        /// `bpf_sock_addr_kern.uaddrlen`; 0 where the kernel's hooks do not know it.
        pub sock_addr_name_length: u32,
        /// `task_struct.thread_pid`
        pub task_number: u32,
        /// `pid.level`
        pub number_level: u32,
        /// `pid.numbers`
        pub number_each: u32,
        /// `cgroup.root`
        pub cgroup_root: u32,
        /// `cgroup.kn`
        pub cgroup_node: u32,
        /// `cgroup.self.parent`
        pub cgroup_parent: u32,
        /// `cgroup_root.hierarchy_id`
        pub root_hierarchy: u32,
        /// `kernfs_node.id`
        pub node_id: u32,
        /// `kernfs_node.name`
        pub node_name: u32,
        /// Which generation of the tracing programs this is; see `ACTIVE`.
        pub generation: u32,
    }
}

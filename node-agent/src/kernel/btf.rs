//! Offsets of kernel struct members, from the running kernel's own description (BTF).
//!
//! The layout is in the kernel's `include/uapi/linux/btf.h`. rustc emits no relocations that the loader
//! could apply by itself (CO-RE), so that offsets are looked up here and written into read-only data.

use std::{collections::HashMap, fs, io, path::Path};

use lanyard_node_agent_abi::settings::Offsets;
use thiserror::Error;

/// Why the offsets are not known. Then nothing is enforced, and the node agent does not start.
#[derive(Debug, Error)]
pub enum BtfError {
    /// The kernel's description could not be read.
    #[error("read the kernel's type information at {path}: {source}")]
    Read {
        /// Where it should be.
        path: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It is cut or of another format.
    #[error("the kernel's type information is cut or of an unknown format")]
    Malformed,
    /// A member this program needs is not there.
    #[error("this kernel has no member {member} in struct {structure}")]
    Missing {
        /// The struct.
        structure: &'static str,
        /// The member.
        member: &'static str,
    },
}

const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's description of itself.
pub(super) fn read() -> Result<Vec<u8>, BtfError> {
    fs::read(Path::new(VMLINUX)).map_err(|source| BtfError::Read {
        path: VMLINUX,
        source,
    })
}

/// The types of a description.
pub(super) struct Types<'a> {
    strings: &'a [u8],
    /// By type id; id 0 is `void`.
    entries: Vec<Type<'a>>,
    structs: HashMap<&'a [u8], u32>,
    functions: HashMap<&'a [u8], u32>,
}

#[derive(Clone, Copy)]
struct Type<'a> {
    info: u32,
    target: u32,
    members: &'a [u8],
}

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNCTION: u32 = 12;
const MEMBER: usize = 12;

impl<'a> Types<'a> {
    /// Reads a description.
    pub(super) fn of(data: &'a [u8]) -> Result<Self, BtfError> {
        Self::parse(data).ok_or(BtfError::Malformed)
    }

    /// The offsets the kernel programs need, for tracing programs of that generation.
    pub(super) fn offsets(&self, generation: u32) -> Result<Offsets, BtfError> {
        let (changed, changed_nanos) = self.change_time()?;
        Ok(Offsets {
            task_pid: self.offset("task_struct", "pid")?,
            task_tgid: self.offset("task_struct", "tgid")?,
            task_signal: self.offset("task_struct", "signal")?,
            signal_live: self.offset("signal_struct", "live")?,
            binprm_file: self.offset("linux_binprm", "file")?,
            binprm_filename: self.offset("linux_binprm", "filename")?,
            file_inode: self.offset("file", "f_inode")?,
            inode_number: self.offset("inode", "i_ino")?,
            inode_super_block: self.offset("inode", "i_sb")?,
            inode_generation: self.offset("inode", "i_generation")?,
            inode_size: self.offset("inode", "i_size")?,
            inode_links: self.offset("inode", "i_nlink")?,
            inode_changed: changed,
            inode_changed_nanos: changed_nanos,
            super_block_device: self.offset("super_block", "s_dev")?,
            binprm_interpreter: self.offset("linux_binprm", "interp")?,
            task_memory: self.offset("task_struct", "mm")?,
            memory_arguments: self.offset("mm_struct", "arg_start")?,
            memory_arguments_end: self.offset("mm_struct", "arg_end")?,
            memory_environment: self.offset("mm_struct", "env_start")?,
            memory_environment_end: self.offset("mm_struct", "env_end")?,
            task_traced: self.offset("task_struct", "ptrace")?,
            task_leader: self.offset("task_struct", "group_leader")?,
            task_flags: self.offset("task_struct", "atomic_flags")?,
            sock_addr_name: self.offset("bpf_sock_addr_kern", "uaddr")?,
            // Kernels without hooks for unix sockets have no length, for they need none.
            sock_addr_name_length: self
                .offset("bpf_sock_addr_kern", "uaddrlen")
                .unwrap_or_default(),
            task_seccomp: self.offset("task_struct", "seccomp")?
                + self.offset("seccomp", "mode")?,
            task_number: self.offset("task_struct", "thread_pid")?,
            number_level: self.offset("pid", "level")?,
            number_each: self.offset("pid", "numbers")?,
            cgroup_root: self.offset("cgroup", "root")?,
            cgroup_node: self.offset("cgroup", "kn")?,
            cgroup_parent: self.offset("cgroup", "self")?
                + self.offset("cgroup_subsys_state", "parent")?,
            root_hierarchy: self.offset("cgroup_root", "hierarchy_id")?,
            node_id: self.offset("kernfs_node", "id")?,
            node_name: self.offset("kernfs_node", "name")?,
            generation,
        })
    }

    /// The number by which programs call a function of this kernel; nothing if it has none of that name.
    pub(super) fn function(&self, name: &str) -> Option<i32> {
        let id = *self.functions.get(name.as_bytes())?;
        i32::try_from(id).ok()
    }

    fn parse(data: &'a [u8]) -> Option<Self> {
        const MAGIC: u32 = 0xeb9f;
        if word(data, 0)? & 0xffff != MAGIC {
            return None;
        }
        let header = word(data, 4)? as usize;
        let section = |offset: usize, length: usize| {
            let start = header.checked_add(word(data, offset)? as usize)?;
            data.get(start..start.checked_add(word(data, length)? as usize)?)
        };
        let mut rest = section(8, 12)?;
        let strings = section(16, 20)?;
        let void = Type {
            info: 0,
            target: 0,
            members: &[],
        };
        let mut this = Self {
            strings,
            entries: vec![void],
            structs: HashMap::new(),
            functions: HashMap::new(),
        };
        while !rest.is_empty() {
            let (name, info) = (word(rest, 0)?, word(rest, 4)?);
            let length = 12 + behind(info)?;
            let entry = Type {
                info,
                target: word(rest, 8)?,
                members: rest.get(12..length)?,
            };
            let id = u32::try_from(this.entries.len()).ok()?;
            match entry.kind() {
                KIND_STRUCT if name != 0 => {
                    this.structs.entry(this.text(name)?).or_insert(id);
                }
                KIND_FUNCTION => {
                    this.functions.entry(this.text(name)?).or_insert(id);
                }
                _ => {}
            }
            this.entries.push(entry);
            rest = rest.get(length..)?;
        }
        Some(this)
    }

    fn text(&self, offset: u32) -> Option<&'a [u8]> {
        self.strings
            .get(offset as usize..)?
            .split(|byte| *byte == 0)
            .next()
    }

    /// The offset of a member in bytes, through anonymous structs and unions.
    fn offset(&self, structure: &'static str, member: &'static str) -> Result<u32, BtfError> {
        let missing = BtfError::Missing { structure, member };
        let id = self.structs.get(structure.as_bytes());
        let bits = id.and_then(|id| self.find(*id, member.as_bytes(), 0));
        bits.map(|bits| bits / 8).ok_or(missing)
    }

    fn find(&self, id: u32, member: &[u8], depth: u32) -> Option<u32> {
        const DEEPEST: u32 = 16;
        let entry = self.entries.get(id as usize)?;
        if depth > DEEPEST {
            return None;
        }
        match entry.kind() {
            KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT => {
                self.find(entry.target, member, depth + 1)
            }
            KIND_STRUCT | KIND_UNION => entry.members.chunks_exact(MEMBER).find_map(|bytes| {
                let (name, id, mut bits) = (word(bytes, 0)?, word(bytes, 4)?, word(bytes, 8)?);
                if entry.info >> 31 == 1 {
                    bits &= 0x00ff_ffff; // the upper byte is a bit field's size
                }
                if name == 0 {
                    return Some(bits + self.find(id, member, depth + 1)?);
                }
                (self.text(name)? == member).then_some(bits)
            }),
            _ => None,
        }
    }

    /// Seconds and nanoseconds of an inode's last change, whose names differ between kernels.
    fn change_time(&self) -> Result<(u32, u32), BtfError> {
        if let (Ok(seconds), Ok(nanos)) = (
            self.offset("inode", "i_ctime_sec"),
            self.offset("inode", "i_ctime_nsec"),
        ) {
            return Ok((seconds, nanos));
        }
        let whole = self
            .offset("inode", "__i_ctime")
            .or_else(|_| self.offset("inode", "i_ctime"))?;
        Ok((whole, whole + 8))
    }
}

impl Type<'_> {
    const fn kind(&self) -> u32 {
        (self.info >> 24) & 0x1f
    }
}

/// How many bytes follow the twelve that every type has.
fn behind(info: u32) -> Option<usize> {
    let count = (info & 0xffff) as usize;
    Some(match (info >> 24) & 0x1f {
        1 | 14 | 17 => 4,                          // int, variable, declaration tag
        3 => 12,                                   // array
        4 | 5 | 15 | 19 => count.checked_mul(12)?, // struct, union, data section, 64-bit enum
        6 | 13 => count.checked_mul(8)?,           // enum, function prototype
        _ => 0,
    })
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_description_is_an_error_and_no_panic() {
        for length in 0..64 {
            assert!(Types::parse(&vec![0xff; length]).is_none());
        }
        let mut header = vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
        header.extend([0xff; 16]);
        assert!(Types::parse(&header).is_none());
    }

    #[test]
    fn a_member_that_does_not_exist_is_named() {
        let types = Types {
            strings: &[],
            entries: Vec::new(),
            structs: HashMap::new(),
            functions: HashMap::new(),
        };
        assert_eq!(types.function("bpf_cast_to_kern_ctx"), None);
        let error = types.offset("inode", "i_ino").unwrap_err().to_string();
        assert_eq!(error, "this kernel has no member i_ino in struct inode");
    }
}

//! The compiled kernel programs: loaded, attached and pinned.

use std::{
    fs, io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, HashMap, MapError},
    programs::{BtfTracePoint, Program, ProgramError, links::FdLink},
};
use lanyard_access::digest::Sha256Digest;
use lanyard_node_agent_abi::event::LOADER_NAME;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    btf::{BtfError, Types},
    pins::Pins,
    raw_link,
    shared::Shared,
    unix_hooks,
};
use crate::loader;

/// The object that `cargo xtask` built, or nothing.
pub(super) static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/core.o"));

/// Why the programs are not loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// This build has no programs in it.
    #[error(
        "this build of the node agent has no kernel programs in it; build it with: cargo xtask demo, or cargo xtask test"
    )]
    NotEmbedded,
    /// The object or its maps were not accepted.
    #[error("load the kernel programs: {0}")]
    Object(#[from] EbpfError),
    /// The kernel's type information was not accepted.
    #[error("read the kernel's type information: {0}")]
    Btf(#[from] aya::BtfError),
    /// The kernel's type information lacks something.
    #[error(transparent)]
    Types(#[from] BtfError),
    /// A program for unix sockets could not be put together.
    #[error("prepare the kernel program {name}: {reason}")]
    Prepare {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A program for unix sockets was not accepted.
    #[error("load the kernel program {name}: {source}; the kernel says:\n{log}")]
    Refused {
        /// Its name.
        name: &'static str,
        /// What the system said.
        source: io::Error,
        /// The end of the verifier's log.
        log: String,
    },
    /// One program was not accepted.
    #[error("load and attach the kernel program {name}: {source}")]
    Program {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: Box<ProgramError>,
    },
    /// The object has no such program.
    #[error("the kernel object has no program {0}")]
    NoProgram(&'static str),
    /// The object has no such map.
    #[error("the kernel object has no map {0}")]
    NoMap(&'static str),
    /// A table that the programs go by could not be written.
    #[error("write the map {name}: {source}")]
    Table {
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: Box<MapError>,
    },
    /// The attach root could not be opened.
    #[error("open the cgroup {path}: {source}")]
    AttachRoot {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A link could not be made, replaced, kept or removed.
    #[error("attach the kernel program {name}: {source}")]
    Link {
        /// The program.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What tells this object from those of other builds.
pub(super) fn digest(object: &[u8]) -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(object).into())
}

/// The maps, by their names in the object.
pub(super) const MAPS: &[&str] = &[
    "SCOPE",
    "POD",
    "CONTAINER",
    "BROKER",
    "SETTINGS",
    "USAGE",
    "PROC",
    "ARMED",
    "LIVE",
    "IMAGE",
    "GRANT",
    "NETWORK",
    "SLOT",
    "LEASE",
    "HANDOVER",
    "BROKER_PORT",
    "UNIX_SOCKET",
    "LOADER",
    "OWN_VARIABLE",
    "ACTIVE",
    "SCRATCH",
    "SEQUENCE",
    "COUNTER",
    "EXECS",
    "REFUSALS",
    "FLOWS",
    "TAG",
];

/// The programs of the attach root, with their `enum bpf_attach_type` (include/uapi/linux/bpf.h).
const AT_ROOT: &[(&str, u32)] = &[
    ("ingress", 0),
    ("egress", 1),
    ("socket_create", 2),
    ("tcp_events", 3),
    ("bind4", 8),
    ("bind6", 9),
    ("connect4", 10),
    ("connect6", 11),
    ("sendmsg4", 14),
    ("sendmsg6", 15),
    ("recvmsg4", 19),
    ("recvmsg6", 20),
    ("getsockopt", 21),
    ("setsockopt", 22),
    ("getpeername4", 29),
    ("getpeername6", 30),
];

/// The programs that follow processes and cgroups, with their tracepoints.
const TRACING: &[(&str, &str)] = &[
    ("on_exec", "sched_process_exec"),
    ("on_fork", "sched_process_fork"),
    ("on_exit", "sched_process_exit"),
    ("on_cgroup_made", "cgroup_mkdir"),
    ("on_cgroup_removed", "cgroup_rmdir"),
];

/// Loads every program, pins every map, and attaches and pins every link.
///
/// Where another build's programs are attached, each of the attach root's is replaced in one step, under the
/// very link that is there. Tracing programs cannot be: the new ones are attached beside the old, both look
/// into `ACTIVE`, and one store there hands over from the one generation to the other. What is done half is
/// done again by the next start, until the marker of the pins says that it is whole.
pub(super) fn load(
    object: &[u8],
    pins: &Pins,
    attach_root: &Path,
    types: &Types<'_>,
    generation: u32,
) -> Result<(), LoadError> {
    if object.is_empty() {
        return Err(LoadError::NotEmbedded);
    }
    let offsets = Shared(types.offsets(generation)?);
    let mut loader = EbpfLoader::new();
    loader
        .allow_unsupported_maps()
        .override_global("OFFSETS", &offsets, true);
    for name in MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    let elf = object;
    let mut object = loader.load(elf)?;
    let root = fs::File::open(attach_root).map_err(|source| LoadError::AttachRoot {
        path: attach_root.to_owned(),
        source,
    })?;
    load_all(&mut object)?;
    // Before anything is attached: what the kernel does not accept changes nothing.
    let for_unix_sockets = unix_hooks::load(elf, &object, types)?;
    write_variables(&mut object)?;
    attach_tracing(&mut object, pins, generation)?;
    for (name, attach_type) in AT_ROOT {
        let program = fd_of(&object, name)?;
        attach_at_root(&program, root.as_fd(), *attach_type, &pins.link(name))
            .map_err(|source| LoadError::Link { name, source })?;
    }
    for (name, attach_type, program) in for_unix_sockets {
        attach_at_root(&program, root.as_fd(), attach_type, &pins.link(name))
            .map_err(|source| LoadError::Link { name, source })?;
    }
    // From here on the new programs follow processes, and the old ones do not.
    activate(&mut object, generation)?;
    pins.remove_links(|name| is_current(name, generation))
        .map_err(|source| LoadError::Link {
            name: "of an earlier build",
            source: io::Error::other(source),
        })
}

/// The pin of a tracing program's link.
fn tracing_link(name: &str, generation: u32) -> String {
    format!("{name}_g{generation}")
}

/// Whether a link belongs to what was just loaded.
fn is_current(link: &str, generation: u32) -> bool {
    let at_root = AT_ROOT.iter().chain(unix_hooks::PROGRAMS);
    at_root.map(|(name, _)| *name).any(|name| name == link)
        || TRACING
            .iter()
            .any(|(name, _)| tracing_link(name, generation) == link)
}

fn load_all(object: &mut Ebpf) -> Result<(), LoadError> {
    let btf = Btf::from_sys_fs()?;
    let names = AT_ROOT.iter().map(|(name, _)| (*name, None));
    let tracing = TRACING.iter().map(|(name, point)| (*name, Some(*point)));
    for (name, tracepoint) in names.chain(tracing) {
        let program = object.program_mut(name).ok_or(LoadError::NoProgram(name))?;
        let loaded = match (program, tracepoint) {
            (Program::BtfTracePoint(program), Some(tracepoint)) => program.load(tracepoint, &btf),
            (Program::CgroupSkb(program), None) => program.load(),
            (Program::CgroupSock(program), None) => program.load(),
            (Program::CgroupSockAddr(program), None) => program.load(),
            (Program::CgroupSockopt(program), None) => program.load(),
            (Program::SockOps(program), None) => program.load(),
            _ => return Err(LoadError::NoProgram(name)),
        };
        loaded.map_err(|source| LoadError::Program {
            name,
            source: Box::new(source),
        })?;
    }
    Ok(())
}

fn fd_of(object: &Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let failed = |source| LoadError::Program {
        name,
        source: Box::new(source),
    };
    let program = object.program(name).ok_or(LoadError::NoProgram(name))?;
    let fd = program.fd().map_err(failed)?;
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(|source| LoadError::Link { name, source })
}

/// Writes the names that the environment of an image is searched for. Programs of an earlier build may be
/// reading them: the numbers of names change with a build, and what a name means to it with them.
fn write_variables(object: &mut Ebpf) -> Result<(), LoadError> {
    let failed = |source: MapError| LoadError::Table {
        name: "LOADER",
        source: Box::new(source),
    };
    let map = object.map_mut("LOADER").ok_or(LoadError::NoMap("LOADER"))?;
    let mut loader = HashMap::<_, [u8; LOADER_NAME], u32>::try_from(map).map_err(failed)?;
    for (number, name) in (0_u32..).zip(loader::VARIABLES) {
        loader
            .insert(loader::key_of(name), number, 0)
            .map_err(failed)?;
    }
    Ok(())
}

fn activate(object: &mut Ebpf, generation: u32) -> Result<(), LoadError> {
    let failed = |source: MapError| LoadError::Table {
        name: "ACTIVE",
        source: Box::new(source),
    };
    let map = object.map_mut("ACTIVE").ok_or(LoadError::NoMap("ACTIVE"))?;
    let mut active = Array::<_, u32>::try_from(map).map_err(failed)?;
    active.set(0, generation, 0).map_err(failed)
}

fn attach_tracing(object: &mut Ebpf, pins: &Pins, generation: u32) -> Result<(), LoadError> {
    for (name, _) in TRACING {
        let failed = |source| LoadError::Program {
            name,
            source: Box::new(source),
        };
        let program = object.program_mut(name).ok_or(LoadError::NoProgram(name))?;
        let program: &mut BtfTracePoint = program.try_into().map_err(failed)?;
        let id = program.attach().map_err(failed)?;
        let link: FdLink = program.take_link(id).map_err(failed)?.into();
        let path = pins.link(&tracing_link(name, generation));
        // Of a start that was cut short: it never worked, and must not work beside this one.
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(LoadError::Link { name, source });
            }
            _ => {}
        }
        let pinned = link.pin(&path);
        pinned.map_err(|error| LoadError::Link {
            name,
            source: io::Error::other(error),
        })?;
    }
    Ok(())
}

fn attach_at_root(
    program: &OwnedFd,
    root: BorrowedFd<'_>,
    attach_type: u32,
    path: &Path,
) -> io::Result<()> {
    if path.exists() {
        raw_link::replace(path, program.as_fd())
    } else {
        raw_link::attach_pinned(program.as_fd(), root, attach_type, path)
    }
}

//! The compiled kernel programs: loaded, attached and pinned.

use std::{
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, HashMap, MapError},
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock,
        CgroupSockAddr, CgroupSockopt, ProgramError, SockOps,
        links::{FdLink, LinkError},
    },
};
use lanyard_access::digest::Sha256Digest;
use lanyard_node_agent_abi::{event::LOADER_NAME, settings::Offsets};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{pins::Pins, raw_link, shared::Shared};
use crate::loader;

/// The object that `cargo xtask` built, or nothing.
static OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/core.o"));

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
    /// A link could not be kept.
    #[error("pin the link of {name}: {message}")]
    Pin {
        /// The program.
        name: &'static str,
        /// What the kernel said.
        message: String,
    },
}

/// What tells this object from those of other builds.
pub(super) fn digest() -> Sha256Digest {
    Sha256Digest::new(Sha256::digest(OBJECT).into())
}

/// The maps, by their names in the object.
pub(super) const MAPS: &[&str] = &[
    "SCOPE",
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
    "ACTIVE",
    "SCRATCH",
    "SEQUENCE",
    "COUNTER",
    "EXECS",
    "REFUSALS",
    "FLOWS",
    "TAG",
];

/// Loads every program, pins every map, attaches and pins every link. On an error nothing is left attached.
pub(super) fn load(pins: &Pins, attach_root: &Path, offsets: Offsets) -> Result<(), LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::NotEmbedded);
    }
    let offsets = Shared(offsets);
    let mut loader = EbpfLoader::new();
    loader
        .allow_unsupported_maps()
        .override_global("OFFSETS", &offsets, true);
    for name in MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    let mut object = loader.load(OBJECT)?;
    let root = fs::File::open(attach_root).map_err(|source| LoadError::AttachRoot {
        path: attach_root.to_owned(),
        source,
    })?;
    // Before the first program runs: what decides by these must find them.
    prepare(&mut object, offsets.0.generation)?;
    let links = attach(&mut object, &root)?;
    for (name, link) in links {
        link.pin(pins.link(name)).map_err(|error| LoadError::Pin {
            name,
            message: error.to_string(),
        })?;
    }
    attach_handover(&mut object, &root, pins)
}

/// Writes the tables that the tracing programs go by.
fn prepare(object: &mut Ebpf, generation: u32) -> Result<(), LoadError> {
    let missing = |name| move || LoadError::NoMap(name);
    let failed = |name| move |source: MapError| LoadError::Table {
        name,
        source: Box::new(source),
    };
    let map = object.map_mut("LOADER").ok_or_else(missing("LOADER"))?;
    let mut loader = HashMap::<_, [u8; LOADER_NAME], u32>::try_from(map).map_err(failed("LOADER"))?;
    for (number, name) in (0_u32..).zip(loader::VARIABLES) {
        loader
            .insert(loader::key_of(name), number, 0)
            .map_err(failed("LOADER"))?;
    }
    let map = object.map_mut("ACTIVE").ok_or_else(missing("ACTIVE"))?;
    let mut active = Array::<_, u32>::try_from(map).map_err(failed("ACTIVE"))?;
    active.set(0, generation, 0).map_err(failed("ACTIVE"))
}

fn attach(object: &mut Ebpf, root: &fs::File) -> Result<Vec<(&'static str, FdLink)>, LoadError> {
    let btf = Btf::from_sys_fs()?;
    let mut links = Vec::new();
    for (name, function) in [
        ("on_exec", "sched_process_exec"),
        ("on_fork", "sched_process_fork"),
        ("on_exit", "sched_process_exit"),
    ] {
        links.push((
            name,
            program(object, name, |program: &mut BtfTracePoint| {
                program.load(function, &btf)?;
                let id = program.attach()?;
                Ok(program.take_link(id)?.into())
            })?,
        ));
    }
    links.push((
        "socket_create",
        program(object, "socket_create", |program: &mut CgroupSock| {
            program.load()?;
            let id = program.attach(root, CgroupAttachMode::Single)?;
            kept(program.take_link(id)?.try_into())
        })?,
    ));
    for (name, direction) in [
        ("egress", CgroupSkbAttachType::Egress),
        ("ingress", CgroupSkbAttachType::Ingress),
    ] {
        links.push((
            name,
            program(object, name, |program: &mut CgroupSkb| {
                program.load()?;
                let id = program.attach(root, direction, CgroupAttachMode::Single)?;
                kept(program.take_link(id)?.try_into())
            })?,
        ));
    }
    for name in [
        "connect4",
        "connect6",
        "sendmsg4",
        "sendmsg6",
        "recvmsg4",
        "recvmsg6",
        "getpeername4",
        "getpeername6",
    ] {
        links.push((
            name,
            program(object, name, |program: &mut CgroupSockAddr| {
                program.load()?;
                let id = program.attach(root, CgroupAttachMode::Single)?;
                kept(program.take_link(id)?.try_into())
            })?,
        ));
    }
    links.push((
        "tcp_events",
        program(object, "tcp_events", |program: &mut SockOps| {
            program.load()?;
            let id = program.attach(root, CgroupAttachMode::Single)?;
            kept(program.take_link(id)?.try_into())
        })?,
    ));
    Ok(links)
}

fn attach_handover(object: &mut Ebpf, root: &fs::File, pins: &Pins) -> Result<(), LoadError> {
    let name = "getsockopt";
    let failed = |source| LoadError::Program {
        name,
        source: Box::new(source),
    };
    let program = object.program_mut(name).ok_or(LoadError::NoProgram(name))?;
    let program: &mut CgroupSockopt = program.try_into().map_err(failed)?;
    program.load().map_err(failed)?;
    let program = program.fd().map_err(failed)?;
    let pinned = raw_link::attach_pinned(
        program.as_fd(),
        root.as_fd(),
        raw_link::CGROUP_GETSOCKOPT,
        &pins.link(name),
    );
    pinned.map_err(|error| LoadError::Pin {
        name,
        message: error.to_string(),
    })
}

fn kept(link: Result<FdLink, LinkError>) -> Result<FdLink, ProgramError> {
    link.map_err(|_| ProgramError::NotAttached)
}

fn program<'a, P>(
    object: &'a mut Ebpf,
    name: &'static str,
    attach: impl FnOnce(&mut P) -> Result<FdLink, ProgramError>,
) -> Result<FdLink, LoadError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    P: 'a,
{
    let program = object.program_mut(name).ok_or(LoadError::NoProgram(name))?;
    let failed = |source| LoadError::Program {
        name,
        source: Box::new(source),
    };
    let program: &mut P = program.try_into().map_err(failed)?;
    attach(program).map_err(failed)
}

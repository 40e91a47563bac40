//! The compiled kernel programs: loaded, attached and pinned.

use std::{
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock,
        CgroupSockAddr, CgroupSockopt, ProgramError, SockOps,
        links::{FdLink, LinkError},
    },
};
use lanyard_access::digest::Sha256Digest;
use lanyard_node_agent_abi::settings::Offsets;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{pins::Pins, raw_link, shared::Shared};

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
    "SCOPE", "PORTS", "PROC", "ARMED", "LIVE", "IMAGE", "GRANT", "SLOT", "HANDOVER", "SEQUENCE",
    "COUNTER", "EXECS", "REFUSALS", "FLOWS", "TAG",
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
    let links = attach(&mut object, &root)?;
    for (name, link) in links {
        link.pin(pins.link(name)).map_err(|error| LoadError::Pin {
            name,
            message: error.to_string(),
        })?;
    }
    attach_handover(&mut object, &root, pins)
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

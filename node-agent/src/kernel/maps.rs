//! Typed access to the maps that the programs decide by.

mod grants;
mod pods;

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, BorrowedFd},
    path::PathBuf,
};

use aya::maps::{
    Array, HashMap, Map, MapData, MapError as AyaError, PerCpuArray, SkStorage, lpm_trie::LpmTrie,
};
use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    event::{LOADER_NAME, OWN_VARIABLE},
    grant::{Grant, GrantKey, Slot},
    pod::{BrokerPort, CGROUP_NAME},
    process::{ArmedFile, ExecId, Image, Process, ScopeSettings, Usage},
    tag::{Tag, side},
    unix::UnixKey,
};
use thiserror::Error;

use super::{pins::Pins, shared::Shared};

/// Why a map could not be opened, read or written.
#[derive(Debug, Error)]
#[error("{attempt} map {map}: {source}")]
pub struct MapError {
    attempt: &'static str,
    map: &'static str,
    source: Box<AyaError>,
}

pub(super) fn failed(
    attempt: &'static str,
    map: &'static str,
) -> impl FnOnce(AyaError) -> MapError {
    move |source| MapError {
        attempt,
        map,
        source: Box::new(source),
    }
}

pub(super) fn pinned(pins: &Pins, name: &'static str) -> Result<MapData, MapError> {
    let path: PathBuf = pins.map(name);
    MapData::from_pin(path).map_err(failed("open", name))
}

/// Which generation of the tracing programs works.
pub(super) fn generation(pins: &Pins) -> Result<u32, MapError> {
    let active = Array::<_, u32>::try_from(Map::Array(pinned(pins, "ACTIVE")?));
    let active = active.map_err(failed("open", "ACTIVE"))?;
    active.get(&0, 0).map_err(failed("read", "ACTIVE"))
}

/// The maps.
pub struct Maps {
    scope: HashMap<MapData, u64, u32>,
    settings: HashMap<MapData, u32, Shared<ScopeSettings>>,
    usage: HashMap<MapData, u32, Shared<Usage>>,
    processes: HashMap<MapData, u32, Shared<Process>>,
    armed: HashMap<MapData, u32, Shared<ArmedFile>>,
    live: HashMap<MapData, u64, u64>,
    images: HashMap<MapData, u64, Shared<Image>>,
    grants: HashMap<MapData, Shared<GrantKey>, Shared<Grant>>,
    networks: LpmTrie<MapData, Shared<GrantKey>, Shared<Grant>>,
    pods: HashMap<MapData, [u8; CGROUP_NAME], u32>,
    containers: HashMap<MapData, u64, u32>,
    brokers: HashMap<MapData, u32, u64>,
    lease: Array<MapData, u64>,
    broker_ports: HashMap<MapData, Shared<BrokerPort>, u32>,
    unix_sockets: HashMap<MapData, Shared<UnixKey>, u32>,
    loader: HashMap<MapData, [u8; LOADER_NAME], u32>,
    own_variables: HashMap<MapData, [u8; OWN_VARIABLE], u32>,
    tags: SkStorage<MapData, Shared<Tag>>,
    tag_map: MapData,
    slots: Array<MapData, Shared<Slot>>,
    counters: PerCpuArray<MapData, u64>,
}

impl Maps {
    pub(super) fn open(pins: &Pins) -> Result<Self, MapError> {
        macro_rules! hash {
            ($name:literal) => {
                HashMap::try_from(Map::HashMap(pinned(pins, $name)?))
                    .map_err(failed("open", $name))?
            };
        }
        Ok(Self {
            scope: hash!("SCOPE"),
            settings: hash!("SETTINGS"),
            usage: hash!("USAGE"),
            processes: hash!("PROC"),
            armed: hash!("ARMED"),
            live: hash!("LIVE"),
            images: hash!("IMAGE"),
            grants: hash!("GRANT"),
            pods: hash!("POD"),
            containers: hash!("CONTAINER"),
            brokers: hash!("BROKER"),
            networks: LpmTrie::try_from(Map::LpmTrie(pinned(pins, "NETWORK")?))
                .map_err(failed("open", "NETWORK"))?,
            lease: Array::try_from(Map::Array(pinned(pins, "LEASE")?))
                .map_err(failed("open", "LEASE"))?,
            broker_ports: hash!("BROKER_PORT"),
            unix_sockets: hash!("UNIX_SOCKET"),
            loader: hash!("LOADER"),
            own_variables: hash!("OWN_VARIABLE"),
            tags: SkStorage::try_from(Map::SkStorage(pinned(pins, "TAG")?))
                .map_err(failed("open", "TAG"))?,
            tag_map: pinned(pins, "TAG")?,
            slots: Array::try_from(Map::Array(pinned(pins, "SLOT")?))
                .map_err(failed("open", "SLOT"))?,
            counters: PerCpuArray::try_from(Map::PerCpuArray(pinned(pins, "COUNTER")?))
                .map_err(failed("open", "COUNTER"))?,
        })
    }

    /// Makes a cgroup a scope. What holds in it comes first, so that no process of it finds nothing.
    pub fn enforce(
        &mut self,
        cgroup: u64,
        scope: u32,
        settings: ScopeSettings,
    ) -> Result<(), MapError> {
        self.prepare(scope, settings)?;
        self.scope
            .insert(cgroup, scope, 0)
            .map_err(failed("write", "SCOPE"))
    }

    /// Makes what a scope needs before anything can be in it.
    pub fn prepare(&mut self, scope: u32, settings: ScopeSettings) -> Result<(), MapError> {
        const IF_MISSING: u64 = 1; // BPF_NOEXIST: processes of it may be counted already
        self.set_settings(scope, settings)?;
        match self.usage.insert(scope, Shared(Usage::ZERO), IF_MISSING) {
            Err(AyaError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::EEXIST) =>
            {
                Ok(())
            }
            other => other.map_err(failed("write", "USAGE")),
        }
    }

    /// Says what holds in a scope now, and keeps its broker's ports for it.
    pub fn set_settings(&mut self, scope: u32, settings: ScopeSettings) -> Result<(), MapError> {
        let before = self.settings.get(&scope, 0).ok().map(|settings| settings.0);
        for port in ports_of(&settings) {
            self.broker_ports
                .insert(Shared(port), scope, 0)
                .map_err(failed("write", "BROKER_PORT"))?;
        }
        self.settings
            .insert(scope, Shared(settings), 0)
            .map_err(failed("write", "SETTINGS"))?;
        for port in before.iter().flat_map(ports_of) {
            if !ports_of(&settings).any(|kept| kept == port) {
                self.give_port_back(port)?;
            }
        }
        Ok(())
    }

    /// What holds in a scope.
    pub fn settings(&self, scope: u32) -> Option<ScopeSettings> {
        self.settings.get(&scope, 0).ok().map(|settings| settings.0)
    }

    fn give_port_back(&mut self, port: BrokerPort) -> Result<(), MapError> {
        ignore_missing(self.broker_ports.remove(&Shared(port)))
            .map_err(failed("write", "BROKER_PORT"))
    }

    /// How much of the shared maps a scope uses.
    pub fn usage(&self, scope: u32) -> Option<Usage> {
        self.usage.get(&scope, 0).ok().map(|usage| usage.0)
    }

    /// Overwrites what is counted of a scope.
    pub fn set_usage(&mut self, scope: u32, usage: Usage) -> Result<(), MapError> {
        self.usage
            .insert(scope, Shared(usage), 0)
            .map_err(failed("write", "USAGE"))
    }

    /// Forgets a scope whose last process is gone.
    pub fn forget_scope(&mut self, scope: u32) -> Result<(), MapError> {
        self.forget_cgroups(scope)?;
        for port in self.settings(scope).iter().flat_map(ports_of) {
            self.give_port_back(port)?;
        }
        ignore_missing(self.settings.remove(&scope)).map_err(failed("write", "SETTINGS"))?;
        ignore_missing(self.usage.remove(&scope)).map_err(failed("write", "USAGE"))?;
        let allowed: Vec<UnixKey> = self
            .unix_sockets
            .keys()
            .filter_map(Result::ok)
            .map(|key| key.0)
            .filter(|key| key.scope == scope)
            .collect();
        for key in allowed {
            ignore_missing(self.unix_sockets.remove(&Shared(key)))
                .map_err(failed("write", "UNIX_SOCKET"))?;
        }
        Ok(())
    }

    /// Lets a scope reach one unix socket.
    pub fn allow_unix_socket(&mut self, key: UnixKey) -> Result<(), MapError> {
        self.unix_sockets
            .insert(Shared(key), 1, 0)
            .map_err(failed("write", "UNIX_SOCKET"))
    }

    /// Numbers a variable that changes what a program loads.
    pub fn set_loader_variable(
        &mut self,
        name: [u8; LOADER_NAME],
        number: u32,
    ) -> Result<(), MapError> {
        self.loader
            .insert(name, number, 0)
            .map_err(failed("write", "LOADER"))
    }

    /// Lets a variable that changes what a program loads count as none where it is exactly `NAME=VALUE`. A text
    /// that is too long for the map goes on to count.
    pub fn set_own_variable(&mut self, text: &str, is_own: bool) -> Result<(), MapError> {
        let mut key = [0; OWN_VARIABLE];
        let Some(place) = key[..OWN_VARIABLE - 1].get_mut(..text.len()) else {
            return Ok(());
        };
        place.copy_from_slice(text.as_bytes());
        let written = if is_own {
            self.own_variables.insert(key, 1, 0)
        } else {
            ignore_missing(self.own_variables.remove(&key))
        };
        written.map_err(failed("write", "OWN_VARIABLE"))
    }

    /// Lets only `scope` be heard by a socket that serves it, which speaks that protocol.
    pub fn keep_server(
        &mut self,
        (socket, protocol): (BorrowedFd<'_>, u8),
        scope: u32,
    ) -> Result<(), MapError> {
        let tag = Tag {
            scope,
            protocol,
            side: side::SERVER,
            ..Tag::ZERO
        };
        self.tag(socket, tag, 0)
    }

    /// The map of tags, for whoever lists sockets with them.
    pub fn tag_map(&self) -> BorrowedFd<'_> {
        self.tag_map.fd().as_fd()
    }

    /// A socket's tag, whoever's it is.
    pub fn tag_of(&self, socket: BorrowedFd<'_>) -> Option<Tag> {
        self.tags.get(&socket, 0).ok().map(|tag| tag.0)
    }

    /// Gives a socket of user space a tag; `flags` as in `bpf_map_update_elem`.
    pub fn tag(&mut self, socket: BorrowedFd<'_>, tag: Tag, flags: u64) -> Result<(), MapError> {
        self.tags
            .insert(&socket, Shared(tag), flags)
            .map_err(failed("write", "TAG"))
    }

    /// Lets grants hold until `until`, in nanoseconds of the boot clock.
    pub fn set_lease(&mut self, until: u64) -> Result<(), MapError> {
        self.lease
            .set(0, until, 0)
            .map_err(failed("write", "LEASE"))
    }

    /// Demands that the next execution of a thread group is that file.
    pub fn arm(&mut self, tgid: u32, file: ArmedFile) -> Result<(), MapError> {
        self.armed
            .insert(tgid, Shared(file), 0)
            .map_err(failed("write", "ARMED"))
    }

    /// Takes back [`Self::arm`].
    pub fn disarm(&mut self, tgid: u32) -> Result<(), MapError> {
        ignore_missing(self.armed.remove(&tgid)).map_err(failed("write", "ARMED"))
    }

    /// Says what an image is. False when its last process has ended: its entry is gone, and stays so.
    pub fn attest(&mut self, exec_id: ExecId, image: Image) -> Result<bool, MapError> {
        const EXISTING: u64 = 2; // BPF_EXIST
        match self.images.insert(exec_id, Shared(image), EXISTING) {
            Err(AyaError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
            {
                Ok(false)
            }
            other => other.map(|()| true).map_err(failed("write", "IMAGE")),
        }
    }

    /// What an image is to the kernel.
    pub fn image(&self, exec_id: ExecId) -> Option<Image> {
        self.images.get(&exec_id, 0).ok().map(|image| image.0)
    }

    /// Takes what is known of an image away: its processes are refused.
    pub fn forget_image(&mut self, exec_id: ExecId) -> Result<(), MapError> {
        ignore_missing(self.images.remove(&exec_id)).map_err(failed("write", "IMAGE"))
    }

    /// Whether some process runs that image.
    pub fn is_live(&self, exec_id: ExecId) -> Result<bool, MapError> {
        match self.live.get(&exec_id, 0) {
            Ok(_) => Ok(true),
            Err(AyaError::KeyNotFound) => Ok(false),
            Err(error) => Err(failed("read", "LIVE")(error)),
        }
    }

    /// What is known of one process. A process that was moved into a scope and has executed nothing since
    /// is not known.
    pub fn process(&self, tgid: u32) -> Option<Process> {
        self.processes.get(&tgid, 0).ok().map(|process| process.0)
    }

    /// What is known of every process of every scope, by thread group.
    pub fn processes(&self) -> BTreeMap<u32, Process> {
        self.processes
            .iter()
            .filter_map(Result::ok)
            .map(|(tgid, process)| (tgid, process.0))
            .collect()
    }

    /// Every image that was attested or refused.
    pub fn images(&self) -> BTreeMap<ExecId, Image> {
        self.images
            .iter()
            .filter_map(Result::ok)
            .map(|(id, image)| (id, image.0))
            .collect()
    }

    /// Every scope, by cgroup.
    pub fn scopes(&self) -> BTreeMap<u64, u32> {
        self.scope.iter().filter_map(Result::ok).collect()
    }

    /// Refusals since the start, by cause, and events lost, summed over the processors.
    pub fn counters(&self) -> Result<BTreeMap<&'static str, u64>, MapError> {
        let causes = Cause::ALL.iter().map(|cause| (cause.name(), *cause as u32));
        let lost = [
            ("LostExecs", lost::EXECS),
            ("LostRefusals", lost::REFUSALS),
            ("LostFlows", lost::FLOWS),
            ("LimitedRefusals", lost::LIMITED),
        ];
        let read = |(name, index)| {
            let values = self
                .counters
                .get(&index, 0)
                .map_err(failed("read", "COUNTER"))?;
            Ok((name, values.iter().sum()))
        };
        causes.chain(lost).map(read).collect()
    }
}

/// The ports that a broker has.
fn ports_of(settings: &ScopeSettings) -> impl Iterator<Item = BrokerPort> + use<> {
    let namespace = settings.namespace;
    [settings.tcp4, settings.tcp6, settings.dns4, settings.dns6]
        .into_iter()
        .filter(|port| *port != 0)
        .map(move |port| BrokerPort {
            namespace,
            port: port.into(),
            reserved: 0,
        })
}

fn ignore_missing(result: Result<(), AyaError>) -> Result<(), AyaError> {
    match result {
        Err(AyaError::KeyNotFound) => Ok(()),
        Err(AyaError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other,
    }
}

//! Typed access to the maps that the programs decide by.

use std::{collections::BTreeMap, path::PathBuf};

use aya::maps::{Array, HashMap, Map, MapData, MapError as AyaError, PerCpuArray};
use lanyard_node_agent_abi::{
    cause::{Cause, lost},
    grant::{Grant, GrantKey, Slot},
    process::{ArmedFile, ExecId, Image, Process, ScopePorts},
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

/// The maps.
pub struct Maps {
    scope: HashMap<MapData, u64, u32>,
    ports: HashMap<MapData, u32, Shared<ScopePorts>>,
    processes: HashMap<MapData, u32, Shared<Process>>,
    armed: HashMap<MapData, u32, Shared<ArmedFile>>,
    live: HashMap<MapData, u64, u64>,
    images: HashMap<MapData, u64, Shared<Image>>,
    grants: HashMap<MapData, Shared<GrantKey>, Shared<Grant>>,
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
            ports: hash!("PORTS"),
            processes: hash!("PROC"),
            armed: hash!("ARMED"),
            live: hash!("LIVE"),
            images: hash!("IMAGE"),
            grants: hash!("GRANT"),
            slots: Array::try_from(Map::Array(pinned(pins, "SLOT")?))
                .map_err(failed("open", "SLOT"))?,
            counters: PerCpuArray::try_from(Map::PerCpuArray(pinned(pins, "COUNTER")?))
                .map_err(failed("open", "COUNTER"))?,
        })
    }

    /// Makes a cgroup a scope. The ports come first, so that no process of it finds none.
    pub fn enforce(&mut self, cgroup: u64, scope: u32, ports: ScopePorts) -> Result<(), MapError> {
        self.ports
            .insert(scope, Shared(ports), 0)
            .map_err(failed("write", "PORTS"))?;
        self.scope
            .insert(cgroup, scope, 0)
            .map_err(failed("write", "SCOPE"))
    }

    /// Says where the broker of a scope listens now.
    pub fn set_ports(&mut self, scope: u32, ports: ScopePorts) -> Result<(), MapError> {
        self.ports
            .insert(scope, Shared(ports), 0)
            .map_err(failed("write", "PORTS"))
    }

    /// Forgets a scope whose last process is gone.
    pub fn forget_scope(&mut self, cgroup: u64, scope: u32) -> Result<(), MapError> {
        ignore_missing(self.scope.remove(&cgroup)).map_err(failed("write", "SCOPE"))?;
        ignore_missing(self.ports.remove(&scope)).map_err(failed("write", "PORTS"))
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

    /// Says what an image is. An image whose last process ended in the meantime is not kept.
    pub fn attest(&mut self, exec_id: ExecId, image: Image) -> Result<(), MapError> {
        self.images
            .insert(exec_id, Shared(image), 0)
            .map_err(failed("write", "IMAGE"))?;
        if self.is_live(exec_id)? {
            Ok(())
        } else {
            self.forget_image(exec_id)
        }
    }

    /// Takes an image's identity away: it is as if it had never been attested.
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

    /// Every grant.
    pub fn grants(&self) -> Vec<(GrantKey, Grant)> {
        self.grants
            .iter()
            .filter_map(Result::ok)
            .map(|(key, grant)| (key.0, grant.0))
            .collect()
    }

    /// Every scope, by cgroup.
    pub fn scopes(&self) -> BTreeMap<u64, u32> {
        self.scope.iter().filter_map(Result::ok).collect()
    }

    /// Opens a destination.
    pub fn set_grant(&mut self, key: GrantKey, grant: Grant) -> Result<(), MapError> {
        self.grants
            .insert(Shared(key), Shared(grant), 0)
            .map_err(failed("write", "GRANT"))
    }

    /// Closes a destination.
    pub fn remove_grant(&mut self, key: GrantKey) -> Result<(), MapError> {
        ignore_missing(self.grants.remove(&Shared(key))).map_err(failed("write", "GRANT"))
    }

    /// A slot as it is.
    pub fn slot(&self, number: u32) -> Result<Slot, MapError> {
        self.slots
            .get(&number, 0)
            .map(|slot| slot.0)
            .map_err(failed("read", "SLOT"))
    }

    /// Sets a slot.
    pub fn set_slot(&mut self, number: u32, slot: Slot) -> Result<(), MapError> {
        self.slots
            .set(number, Shared(slot), 0)
            .map_err(failed("write", "SLOT"))
    }

    /// Refusals since the start, by cause, and events lost, summed over the processors.
    pub fn counters(&self) -> Result<BTreeMap<&'static str, u64>, MapError> {
        let causes = Cause::ALL.iter().map(|cause| (cause.name(), *cause as u32));
        let lost = [
            ("LostExecs", lost::EXECS),
            ("LostRefusals", lost::REFUSALS),
            ("LostFlows", lost::FLOWS),
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

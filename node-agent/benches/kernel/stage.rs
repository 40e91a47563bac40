//! The kernel programs at work, with one scope, as a node agent has them.

use std::{fs, os::fd::AsFd as _, os::unix::fs::MetadataExt as _, path::PathBuf, process};

use anyhow::{Context as _, Result};
use lanyard_node_agent::{
    kernel::{Kernel, Maps, Pins, Rings},
    scope::cgroup::Cgroup,
};
use lanyard_node_agent_abi::{
    event::{ExecEvent, exec},
    grant::{Grant, GrantKey, Slot, carrier},
    process::{ArmedFile, Image, ScopeSettings, children, level},
};

use super::{
    place::Place,
    worker::{Task, Worker},
};

const NODE: &str = "kernel-bench";
const SCOPE: u32 = 7;
/// The one slot that every grant is in.
const SLOT: u32 = 1;

/// Programs, maps and a scope. Dropping it removes everything.
pub(crate) struct Stage {
    kernel: Option<Kernel>,
    cgroup: Cgroup,
    granted: Vec<GrantKey>,
}

impl Stage {
    pub(crate) fn set() -> Result<Self> {
        let root = attach_root()?;
        // Of a bench that was killed.
        Kernel::pins(NODE).remove()?;
        let mut kernel = Kernel::open(NODE, &root)?;
        let cgroup = Cgroup::make(&root.join(format!("lanyard-{NODE}-{}", process::id())))?;
        kernel.maps.set_lease(u64::MAX)?;
        let slot = Slot {
            deadline: u64::MAX,
            generation: 1,
        };
        kernel.maps.set_slot(SLOT, slot)?;
        kernel
            .maps
            .enforce(cgroup.id(), SCOPE, ScopeSettings::ZERO)?;
        Ok(Self {
            kernel: Some(kernel),
            cgroup,
            granted: Vec::new(),
        })
    }

    fn kernel(&mut self) -> Result<&mut Kernel> {
        self.kernel.as_mut().context("the programs are loaded")
    }

    pub(crate) fn maps(&mut self) -> Result<&mut Maps> {
        Ok(&mut self.kernel()?.maps)
    }

    pub(crate) fn rings(&mut self) -> Result<&mut Rings> {
        Ok(&mut self.kernel()?.rings)
    }

    #[expect(clippy::unused_self, reason = "they are there while it is")]
    pub(crate) fn pins(&self) -> Pins {
        Kernel::pins(NODE)
    }

    /// A process of the scope whose image is the agent's.
    pub(crate) fn agent(&mut self, _in: &Place) -> Result<Worker> {
        let mut worker = Worker::at_gate(&Task::Work)?;
        let pid = worker.pid();
        self.cgroup.admit(pid, worker.pidfd()?.as_fd())?;
        self.maps()?.arm(pid, armed()?)?;
        worker.open()?;
        let executed = self.executed(pid)?;
        let image = Image {
            principal: SCOPE,
            level: level::IMAGE,
            children: children::INHERIT,
            settled: 1,
            reserved: 0,
        };
        self.maps()?.attest(executed.exec_id, image)?;
        Ok(worker)
    }

    fn executed(&mut self, pid: u32) -> Result<ExecEvent> {
        // The event is there before the process runs its first instruction.
        let rings = self.rings()?;
        let mut events = std::iter::from_fn(|| rings.execs.next_exec()).map(|record| record.event);
        events
            .find(|event| event.kind == exec::EXECUTED && event.tgid == pid)
            .context("the execution is told of")
    }

    /// Lets the agent reach that, by that protocol.
    pub(crate) fn grant(&mut self, address: &str, port: u16, protocol: u8) -> Result<()> {
        let address: std::net::Ipv4Addr = address.parse()?;
        let key = GrantKey {
            principal: SCOPE,
            port: port.to_be(),
            protocol,
            reserved: 0,
            address: address.to_ipv6_mapped().octets(),
        };
        let grant = Grant {
            slots: [SLOT; 3],
            carrier: u32::from(carrier::DIRECT),
        };
        self.granted.push(key);
        Ok(self.maps()?.set_grant(key, grant)?)
    }

    /// Fills the map up to so many grants, with destinations that nobody asks for.
    pub(crate) fn fill(&mut self, grants: usize) -> Result<()> {
        while self.granted.len() < grants {
            let number = u32::try_from(self.granted.len())?;
            let [_, high, middle, low] = number.to_be_bytes();
            self.grant(&format!("10.{}.{middle}.{low}", 128 + high), 443, 6)?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kernel = None;
        if let Err(error) = Kernel::pins(NODE).remove() {
            eprintln!("{error}");
        }
        if let Err(error) = self.cgroup.kill() {
            eprintln!("{error}");
        }
        while self.cgroup.is_populated() {
            std::thread::yield_now();
        }
        if let Err(error) = self.cgroup.remove() {
            eprintln!("{error}");
        }
    }
}

/// This program's own file.
fn armed() -> Result<ArmedFile> {
    let metadata = fs::metadata(std::env::current_exe()?)?;
    let device = metadata.dev();
    Ok(ArmedFile {
        inode: metadata.ino(),
        device: rustix::fs::major(device) << 20 | rustix::fs::minor(device),
        level: 0,
        children: 0,
        reserved: 0,
    })
}

fn attach_root() -> Result<PathBuf> {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let mut roots = roots.into_iter();
    roots
        .find(|root| root.join("cgroup.procs").exists())
        .context("a cgroup v2 hierarchy")
}

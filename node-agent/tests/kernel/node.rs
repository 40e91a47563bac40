//! What a node agent does, done by a test step by step.

mod events;
mod leftovers;

use std::{collections::BTreeMap, fs, os::fd::AsFd, path::Path, process};

use lanyard_node_agent::{
    kernel::{Kernel, Maps, clock::Moment},
    scope::cgroup::Cgroup,
};
use lanyard_node_agent_abi::{
    grant::{Grant, GrantKey, Slot},
    process::{ArmedFile, Image, children, level},
};

use super::{
    actor::{Actor, Gate, python},
    destination::Destination,
    network::Network,
    peer::Broker,
};
use events::Heard;
use leftovers::Leftovers;

pub(crate) use leftovers::attach_root;

/// A deadline that no test lives to see.
pub(crate) const NEVER: u64 = u64::MAX;

/// Kernel programs, a scope and its broker. Dropping it removes everything.
pub(crate) struct Node {
    /// The scope.
    pub(crate) scope: u32,
    /// The agent whose processes run in it.
    pub(crate) principal: u32,
    /// The scope's broker.
    pub(crate) broker: Broker,
    /// The scope's cgroup.
    pub(crate) cgroup: Cgroup,
    kernel: Option<Kernel>,
    heard: Heard,
    slots: u32,
    granted: BTreeMap<([u8; 16], u16), Grant>,
    leftovers: Leftovers,
    _network: Network,
}

impl Node {
    pub(crate) fn start() -> Self {
        let number = leftovers::number();
        let scope = process::id() * 1_000 + number;
        let network = Network::enter();
        let leftovers = Leftovers::of(number);
        let mut node = Self {
            scope,
            principal: scope,
            broker: Broker::listen(),
            cgroup: leftovers.cgroup.clone(),
            kernel: None,
            heard: Heard::default(),
            slots: 0,
            granted: BTreeMap::new(),
            leftovers,
            _network: network,
        };
        assert!(!node.agent_starts(), "nothing of an earlier test is there");
        let (id, ports) = (node.cgroup.id(), node.broker.ports());
        node.maps()
            .enforce(id, scope, ports)
            .expect("make the cgroup a scope");
        node
    }

    /// A node agent starts; whether it found its programs at work.
    pub(crate) fn agent_starts(&mut self) -> bool {
        let opened = Kernel::open(self.name(), &attach_root());
        let mut kernel = opened.unwrap_or_else(|error| panic!("{error}"));
        kernel.maps.set_lease(NEVER).expect("let grants hold");
        self.kernel.insert(kernel).adopted
    }

    /// The node agent dies.
    pub(crate) fn agent_dies(&mut self) {
        self.kernel = None;
    }

    /// By what its pins are found.
    pub(crate) fn name(&self) -> &str {
        &self.leftovers.name
    }

    pub(crate) fn maps(&mut self) -> &mut Maps {
        &mut self.kernel.as_mut().expect("a living node agent").maps
    }

    /// A process that is in no scope.
    #[expect(clippy::unused_self, reason = "it is in the network of this node")]
    pub(crate) fn outside(&self) -> Actor {
        Gate::start().open()
    }

    /// A process that was put into the scope and has executed nothing since.
    pub(crate) fn moved_in(&self) -> Actor {
        let actor = self.outside();
        self.admit(&actor);
        actor
    }

    /// Puts a running process into the scope.
    pub(crate) fn admit(&self, actor: &Actor) {
        let admitted = self.cgroup.admit(actor.pid, actor.pidfd().as_fd());
        admitted.expect("put a process into the scope");
    }

    /// The scope's root, executed and not yet looked at.
    pub(crate) fn enter(&mut self) -> Actor {
        self.enter_armed(python())
    }

    /// The scope's root as `lanyard run` starts it, confined, executed and not yet looked at.
    pub(crate) fn enter_confined(&mut self) -> Actor {
        let gate = Gate::start_confined();
        self.admit_gate(&gate);
        let pid = gate.pid();
        self.maps()
            .arm(pid, armed(python()))
            .expect("arm a process");
        self.pass(gate)
    }

    /// A process that came into the scope from outside and executed something there.
    pub(crate) fn enter_from_outside(&mut self) -> Actor {
        let gate = self.gate();
        self.pass(gate)
    }

    /// The same, by a process whose next execution must be `file`.
    pub(crate) fn enter_armed(&mut self, file: &Path) -> Actor {
        let gate = self.gate();
        self.maps()
            .arm(gate.pid(), armed(file))
            .expect("arm a process");
        self.pass(gate)
    }

    /// A process whose image was attested as the agent's.
    pub(crate) fn attested(&mut self, level: u8) -> Actor {
        let actor = self.enter();
        let principal = self.principal;
        self.attest(&actor, principal, level);
        actor
    }

    /// A process whose image was refused.
    pub(crate) fn refused(&mut self) -> Actor {
        let actor = self.enter();
        self.attest(&actor, 0, 0);
        actor
    }

    pub(crate) fn attest(&mut self, actor: &Actor, principal: u32, level: u8) {
        self.settle(actor, principal, level, children::NONE);
    }

    /// Says what an image is, and what its executions inherit.
    pub(crate) fn settle(&mut self, actor: &Actor, principal: u32, level: u8, children: u8) {
        let image = Image {
            principal,
            level,
            children,
            settled: 1,
            reserved: 0,
        };
        let attested = self.maps().attest(actor.exec_id, image);
        assert!(attested.expect("attest an image"), "the image runs");
    }

    /// Grants a destination to the agent at one level, without an end, in a slot of its own.
    pub(crate) fn grant(&mut self, level: u8, to: &Destination, carrier: u8) -> u32 {
        let slot = self.new_slot();
        let key = self.key(to);
        let place = usize::from(level - level::SCOPE);
        let known = (to.bytes(), to.port());
        let mut grant = self.granted.get(&known).copied().unwrap_or(Grant::ZERO);
        grant.slots[place] = slot;
        grant.carrier = u32::from(carrier);
        self.granted.insert(known, grant);
        self.maps().set_grant(key, grant).expect("write a grant");
        slot
    }

    /// A slot of a test's own, without an end.
    pub(crate) fn new_slot(&mut self) -> u32 {
        self.slots += 1;
        let slot = self.slots;
        self.end_at(slot, NEVER);
        slot
    }

    pub(crate) fn key(&self, to: &Destination) -> GrantKey {
        GrantKey {
            principal: self.principal,
            port: to.port().to_be(),
            protocol: 6,
            reserved: 0,
            address: to.bytes(),
        }
    }

    /// Says when a slot ends, in nanoseconds of the boot clock.
    pub(crate) fn end_at(&mut self, slot: u32, deadline: u64) {
        let generation = self.maps().slot(slot).expect("read a slot").generation;
        let slot_now = Slot {
            deadline,
            generation,
        };
        self.maps().set_slot(slot, slot_now).expect("write a slot");
    }

    /// Gives a slot to another grant.
    pub(crate) fn reuse(&mut self, slot: u32) {
        let generation = self.maps().slot(slot).expect("read a slot").generation + 1;
        let slot_now = Slot {
            deadline: NEVER,
            generation,
        };
        self.maps().set_slot(slot, slot_now).expect("write a slot");
    }

    /// A shell in the scope that has executed nothing there.
    pub(crate) fn gate(&self) -> Gate {
        let gate = Gate::start();
        self.admit_gate(&gate);
        gate
    }

    fn admit_gate(&self, gate: &Gate) {
        let admitted = self.cgroup.admit(gate.pid(), gate.pidfd().as_fd());
        admitted.expect("put a process into the scope");
    }

    /// Lets it execute the actor.
    pub(crate) fn pass(&mut self, gate: Gate) -> Actor {
        let mut actor = gate.open();
        actor.exec_id = self.executed(actor.pid).exec_id;
        actor
    }
}

/// Nanoseconds of the boot clock.
pub(crate) fn now() -> u64 {
    Moment::now().boot
}

/// A file, as a process is armed with it.
pub(crate) fn armed(file: &Path) -> ArmedFile {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(file).expect("look at a file");
    ArmedFile {
        inode: metadata.ino(),
        device: kernel_device(metadata.dev()),
        level: 0,
        children: 0,
        reserved: 0,
    }
}

/// A device number as the kernel keeps it.
pub(crate) fn kernel_device(device: u64) -> u32 {
    rustix::fs::major(device) << 20 | rustix::fs::minor(device)
}

//! Where the tasks of a replica meet: what is known, and whom a change wakes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lanyard_access::object::ObjectName;
use tokio::sync::Notify;

use super::metrics::{Counters, Gauges};
use crate::decide::{
    input::{Input, Moment},
    state::{Source, State},
};

/// For how long the API server may be silent before nodes hear no more beats.
pub const SILENCE: Duration = Duration::from_secs(15);

/// Reads both clocks.
pub type Clock = fn() -> Moment;

/// Where the tasks of a replica meet.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    nodes: Mutex<BTreeMap<ObjectName, Arc<Notify>>>,
    contact: Mutex<Contact>,
    clock: Clock,
    /// Something may have to be written or asked, or the time of the next change has moved.
    pub changed: Notify,
    /// The numbers.
    pub counters: Counters,
}

/// What the API server let hear of itself.
#[derive(Debug, Default)]
struct Contact {
    heard: Option<Instant>,
    broken: BTreeSet<Source>,
    has_certificate: bool,
}

impl Hub {
    /// With what is known so far.
    pub fn new(state: State, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            nodes: Mutex::default(),
            contact: Mutex::default(),
            clock,
            changed: Notify::new(),
            counters: Counters::default(),
        })
    }

    /// Now.
    pub fn now(&self) -> Moment {
        (self.clock)()
    }

    /// What is known. No lock is held over an await: the guard is not `Send`.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with what is known, and wakes the nodes that it returns.
    pub fn with<R: Wakes>(&self, act: impl FnOnce(&mut State, Moment) -> R) {
        let nodes = act(&mut self.state(), self.now()).nodes();
        self.wake(&nodes);
        self.changed.notify_waiters();
    }

    /// Takes in what was heard.
    pub fn take(&self, input: Input, listed: Option<Source>) {
        self.with(|state, at| state.take(input, listed, at));
    }

    /// What wakes a new stream of a node. An older one wakes for the last time, and learns that it is over.
    pub fn new_waker_of(&self, node: &ObjectName) -> Arc<Notify> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = Arc::new(Notify::new());
        if let Some(old) = nodes.insert(node.clone(), waker.clone()) {
            old.notify_one();
        }
        waker
    }

    /// Wakes every stream.
    pub fn wake_all(&self) {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.values().for_each(|node| node.notify_one());
    }

    fn wake(&self, woken: &BTreeSet<ObjectName>) {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        for node in woken {
            if let Some(node) = nodes.get(node) {
                node.notify_one();
            }
        }
    }

    /// Forgets nodes that are gone.
    pub fn tidy(&self) {
        {
            let mut state = self.state();
            let State {
                world, followers, ..
            } = &mut *state;
            followers.forget_all_but(|node| world.pods().on(node).next().is_some());
        }
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|_, waker| Arc::strong_count(waker) > 1);
    }

    /// The API server answered.
    pub fn heard(&self) {
        let now = self.now().steady;
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        contact.heard = Some(now);
    }

    /// A watch broke, or goes on.
    pub fn note_watch(&self, source: Source, is_broken: bool) {
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        if is_broken {
            contact.broken.insert(source);
        } else {
            contact.broken.remove(&source);
        }
    }

    /// There is a certificate to serve nodes with.
    pub fn note_certificate(&self) {
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        contact.has_certificate = true;
    }

    /// Whether nodes can be served.
    pub fn is_ready(&self) -> bool {
        let is_complete = self.state().is_complete();
        let contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        is_complete && contact.has_certificate
    }

    /// Whether what this replica knows is what stands in the API server. Nodes hear beats only then: whoever
    /// would not learn that a grant was taken back must not say that it still holds.
    pub fn is_fresh(&self) -> bool {
        let now = self.now().steady;
        let is_complete = self.state().is_complete();
        let contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        let is_heard =
            (contact.heard).is_some_and(|heard| now.saturating_duration_since(heard) < SILENCE);
        is_complete && is_heard && contact.broken.is_empty()
    }

    /// What is so now.
    pub fn gauges(&self) -> Gauges {
        let fresh = self.is_fresh();
        let now = self.now().steady;
        let state = self.state();
        Gauges {
            nodes: state.followers.connected(),
            pods: state.world.pods().len(),
            waiting: state.writes.len(),
            leads: state.election.leads(now),
            fresh,
        }
    }
}

/// What may name nodes that have to know.
pub trait Wakes {
    /// These.
    fn nodes(self) -> BTreeSet<ObjectName>;
}

impl Wakes for BTreeSet<ObjectName> {
    fn nodes(self) -> BTreeSet<ObjectName> {
        self
    }
}

impl Wakes for () {
    fn nodes(self) -> BTreeSet<ObjectName> {
        BTreeSet::new()
    }
}

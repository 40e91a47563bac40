//! One machine without a cluster: a folder of manifests in place of the API server, and files of root in
//! place of the authority.

mod applied;
mod last_good;
mod lives;
mod manifests;
mod objects;
mod ownership;
mod policy;
mod sockets;
mod sources;
mod stored;

use std::{cell::RefCell, path::PathBuf, rc::Rc, time::Duration};

use lanyard_protocol::record::Event;
use tokio::{runtime::LocalOptions, sync::watch, task::spawn_local, time::MissedTickBehavior};
use tracing::{info, warn};

use self::{
    applied::AppliedError,
    manifests::Manifests,
    objects::LocalObjects,
    policy::{FilePolicy, PolicyError},
    sources::Sources,
};
use crate::{
    args, broker, control, events,
    kernel::{Kernel, KernelError, clock::Moment},
    node::{Node, NodeError, Shared},
    place::{Place, PlaceError},
    record::{LeftOpen, RecordError, Recorder},
    upkeep::{
        LockError, end_what_was_left, heal, keep_observed, keep_time, lock, say_ready,
        take_up_flows, write_observed,
    },
};

/// How often manifests are looked at, and empty scopes looked for.
const LOOK: Duration = Duration::from_millis(300);

/// Why the node agent does not start. Then nothing new is enforced; what was, still is.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The policy of the machine.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Manifests, where nothing is enforced yet and there is no last good state to keep.
    #[error("manifests cannot be read:\n{0}")]
    Manifests(String),
    /// Applied objects.
    #[error("read the objects that were applied: {0}")]
    Applied(String),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// The runtime or the rings.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// Another node agent of this node.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Signals.
    #[error(transparent)]
    Signals(#[from] lanyard_daemon::shutdown::WatchSignalsError),
}

impl From<AppliedError> for LocalError {
    fn from(error: AppliedError) -> Self {
        Self::Applied(error.to_string())
    }
}

/// Enforces until a signal comes, or until it is ended by `lanyard down`. After a signal the kernel
/// enforces on.
pub fn run(arguments: &args::Local) -> Result<(), LocalError> {
    let place = Place::prepare(&arguments.place)?;
    let _only = lock(&place)?;
    let policy = Rc::new(FilePolicy::read(&arguments.policy)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let served = runtime.block_on(async {
        // A task of its own: what wakes the future that the runtime blocks on goes through the kernel.
        let serving = serve(place, policy, arguments.manifests.clone());
        spawn_local(serving).await.map_err(std::io::Error::other)?
    });
    // A look at a file that never answers is not waited for.
    runtime.shutdown_background();
    served
}

async fn serve(
    place: Place,
    policy: Rc<FilePolicy>,
    paths: Vec<PathBuf>,
) -> Result<(), LocalError> {
    let mut shutdown = lanyard_daemon::shutdown::Shutdown::watch()?;
    let record = place.record();
    let recorder = Recorder::open(record.clone(), place.node.clone())?;
    let left = LeftOpen::of(&record).map_err(|source| RecordError::System {
        attempt: "read",
        path: record,
        source,
    })?;
    let mut kernel = Kernel::open(&place.node, &place.attach_root)?;
    // This machine hears nobody but its own files: its grants hold until each of them ends.
    kernel.maps.set_lease(u64::MAX).map_err(KernelError::from)?;
    let socket = place.control_socket();
    let observed = place.observed();
    let files = Manifests::new(paths, policy.writers());
    let sources = Sources::open(files, &place)?;
    let sources = Rc::new(RefCell::new(sources));
    let node = Node::new(place, kernel.maps, recorder, Box::new(Rc::clone(&policy)))?;
    let node = Rc::new(RefCell::new(node));
    start(&node, &sources, kernel.adopted)?;
    tokio::task::spawn_local(end_what_was_left(Rc::clone(&node), left));
    let mut looks = events::Looks::default();
    events::adopt(&node, &mut looks);
    events::watch(&node, kernel.rings, looks)?;
    let (ended, mut told) = watch::channel(false);
    let listener = control::listen(&socket)?;
    let objects = Rc::new(LocalObjects(Rc::clone(&sources)));
    let served = control::serve(listener, Rc::clone(&node), policy, objects, ended);
    tokio::task::spawn_local(served);
    say_ready();
    tokio::select! {
        () = keep_up(&node, &sources) => {}
        () = keep_observed(&node, &observed) => {}
        () = heal(&node) => {}
        () = crate::forgotten::forget(&node) => {}
        () = keep_time(&node) => {}
        () = shutdown.signalled() => info!("told to end; the kernel enforces on"),
        _ = told.wait_for(|ended| *ended) => {}
    }
    write_observed(&node, &observed);
    Ok(())
}

fn start(node: &Shared, sources: &RefCell<Sources>, adopted: bool) -> Result<(), LocalError> {
    let now = Moment::now();
    let mut borrowed = node.borrow_mut();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    borrowed.record(Event::NodeStarted { version, adopted }, now);
    let (is_anything, problems) = sources.borrow_mut().begin(&mut *borrowed, now.wall);
    if !problems.is_empty() {
        // With nothing enforced and nothing to fall back to, whoever starts it mends it first.
        if !adopted && !is_anything {
            return Err(LocalError::Manifests(problems.join("\n")));
        }
        warn!(
            count = problems.len(),
            first = problems.first(),
            "manifests cannot be read; what was last good is in force"
        );
        borrowed.problems = problems;
    }
    borrowed.apply(now, None);
    let scopes: Vec<u32> = borrowed.scopes.keys().copied().collect();
    for scope in &scopes {
        borrowed.apply_to_scope(*scope, now);
    }
    if adopted {
        take_up_flows(&mut borrowed, now);
    }
    borrowed.keep();
    drop(borrowed);
    for scope in scopes {
        broker::keep_running(node, scope);
    }
    Ok(())
}

/// Takes up changed manifests and forgets empty scopes.
async fn keep_up(node: &Shared, sources: &RefCell<Sources>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut node = node.borrow_mut();
        let now = Moment::now();
        node.reap(now);
        if node.draining {
            continue;
        }
        match sources.borrow_mut().look(&mut *node, now.wall) {
            None => {}
            Some(Err(problems)) => warn!(
                count = problems.len(),
                first = problems.first(),
                "manifests cannot be read; the last good state is kept"
            ),
            Some(Ok(())) => {
                node.apply(now, None);
                info!("changed manifests are in force");
            }
        }
    }
}

/// Ends what an earlier node agent enforced, without serving anybody.
pub fn down(arguments: &args::Down) -> Result<(), LocalError> {
    let place = Place::prepare(&arguments.place)?;
    let _only = lock(&place)?;
    if !Kernel::pins(&place.node).is_anything_there() {
        place.clear()?;
        return Ok(());
    }
    let recorder = Recorder::open(place.record(), place.node.clone())?;
    let kernel = Kernel::open(&place.node, &place.attach_root)?;
    let mut node = Node::new(
        place,
        kernel.maps,
        recorder,
        Box::new(Rc::new(FilePolicy::none()?)),
    )?;
    control::begin(&mut node, arguments.kill, Moment::now());
    let mut shown = None;
    while let Some(left) = control::drain(&mut node, arguments.kill, Moment::now()) {
        if shown != Some(left) {
            info!(
                scopes = left.scopes,
                processes = left.processes,
                "waiting for scopes to be empty"
            );
            shown = Some(left);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    control::finish(&mut node, "root", Moment::now())
        .map_err(|message| LocalError::System(std::io::Error::other(message)))
}

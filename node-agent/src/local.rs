//! One machine without a cluster: a folder of manifests in place of the API server, and files of root in
//! place of the authority.

mod lives;
mod manifests;
mod ownership;
mod policy;

use std::{io::Write as _, path::PathBuf, rc::Rc, time::Duration};

use lanyard_protocol::record::Event;
use tokio::{sync::watch, task::LocalSet, time::MissedTickBehavior};
use tracing::{info, warn};

use self::{
    manifests::Manifests,
    policy::{FilePolicy, PolicyError},
};
use crate::{
    args, broker, control, events,
    kernel::{Kernel, KernelError, clock::Moment},
    node::{Node, NodeError, Shared},
    place::{Place, PlaceError},
    record::{RecordError, Recorder},
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
    /// Manifests, at a first start: there is no last good state to keep.
    #[error("manifests cannot be read:\n{0}")]
    Manifests(String),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// The runtime or the rings.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// Another node agent of this node runs.
    #[error("a node agent of this node runs already; end it with: lanyard down")]
    Running,
    /// Signals.
    #[error(transparent)]
    Signals(#[from] lanyard_daemon::shutdown::WatchSignalsError),
}

/// Enforces until a signal comes, or until it is ended by `lanyard down`. After a signal the kernel
/// enforces on.
pub fn run(arguments: &args::Local) -> Result<(), LocalError> {
    let place = Place::prepare(&arguments.place)?;
    let _only = lock(&place)?;
    let policy = Rc::new(FilePolicy::read(&arguments.policy)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served =
        LocalSet::new().block_on(&runtime, serve(place, policy, arguments.manifests.clone()));
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
    let recorder = Recorder::open(place.record(), place.node.clone())?;
    let kernel = Kernel::open(&place.node, &place.attach_root)?;
    let socket = place.control_socket();
    let node = Node::new(place, kernel.maps, recorder, Box::new(Rc::clone(&policy)))?;
    let node = Rc::new(std::cell::RefCell::new(node));
    let mut manifests = Manifests::new(paths, policy.writers());
    start(&node, &mut manifests, kernel.adopted)?;
    let mut looks = events::Looks::default();
    events::adopt(&node, &mut looks);
    events::watch(&node, kernel.rings, looks)?;
    let (ended, mut told) = watch::channel(false);
    let listener = control::listen(&socket)?;
    tokio::task::spawn_local(control::serve(listener, Rc::clone(&node), policy, ended));
    say_ready();
    tokio::select! {
        () = keep_up(&node, manifests) => {}
        () = heal(&node) => {}
        () = keep_time(&node) => {}
        () = shutdown.signalled() => info!("told to end; the kernel enforces on"),
        _ = told.wait_for(|ended| *ended) => {}
    }
    Ok(())
}

fn start(node: &Shared, manifests: &mut Manifests, adopted: bool) -> Result<(), LocalError> {
    let now = Moment::now();
    let mut borrowed = node.borrow_mut();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    borrowed.record(Event::NodeStarted { version, adopted }, now);
    match manifests.read() {
        Some(Ok(set)) => {
            if let Err(problems) = lives::take(&mut borrowed, set) {
                return Err(LocalError::Manifests(problems.join("\n")));
            }
        }
        Some(Err(problems)) => return Err(LocalError::Manifests(problems.join("\n"))),
        None => {}
    }
    borrowed.apply(now, None);
    let scopes: Vec<u32> = borrowed.scopes.keys().copied().collect();
    for scope in &scopes {
        borrowed.apply_to_scope(*scope, now);
    }
    borrowed.keep();
    drop(borrowed);
    for scope in scopes {
        broker::keep_running(node, scope);
    }
    Ok(())
}

/// Whoever started it waits for this line, and reads nothing after it.
fn say_ready() {
    let mut out = std::io::stdout();
    if writeln!(out, "ready").and_then(|()| out.flush()).is_err() {
        info!("nobody waits for this node agent to be ready");
    }
}

/// Takes up changed manifests and forgets empty scopes.
async fn keep_up(node: &Shared, mut manifests: Manifests) {
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
        match manifests.read() {
            None => {}
            Some(Err(problems)) => {
                warn!(
                    count = problems.len(),
                    first = problems.first(),
                    "manifests cannot be read; the last good state is kept"
                );
                node.problems = problems;
            }
            Some(Ok(set)) => match lives::take(&mut node, set) {
                Ok(()) => {
                    node.problems.clear();
                    node.apply(now, None);
                    info!("changed manifests are in force");
                }
                Err(problems) => node.problems = problems,
            },
        }
    }
}

/// Looks for executions that the kernel could not tell, and for the images they left unknown.
async fn heal(node: &Shared) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = events::Looks::default();
    loop {
        tick.tick().await;
        if node.borrow_mut().on_losses(Moment::now()) {
            events::adopt(node, &mut looks);
        }
    }
}

/// Ends what ends, when it ends.
async fn keep_time(node: &Shared) {
    /// So that a change of the grants, or of a clock, is not slept through.
    const LONGEST: Duration = Duration::from_millis(250);
    loop {
        let now = Moment::now();
        let due = node.borrow().next_time(now);
        let wait = due.map_or(LONGEST, |due| {
            Duration::from_nanos(due.saturating_sub(now.boot)).min(LONGEST)
        });
        tokio::time::sleep(wait).await;
        let now = Moment::now();
        if due.is_some_and(|due| due <= now.boot) {
            node.borrow_mut().on_time(now);
        }
    }
}

/// Two node agents on the same maps would undo each other's work.
fn lock(place: &Place) -> Result<std::fs::File, LocalError> {
    let file = std::fs::File::create(place.state.join("lock"))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(LocalError::Running),
        Err(error) => Err(std::io::Error::from(error).into()),
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

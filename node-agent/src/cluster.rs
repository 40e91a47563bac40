//! A node of a Kubernetes cluster: an operator says what should hold, a kubelet starts pods and is kept from starting one
//! that is not fenced.

mod authority;
mod directory;
mod driver;
mod mounts;
mod operator;
mod people;
mod publish;
mod said;
mod sidecars;
mod sockets;
mod tls;
mod volume;

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use lanyard_access::pod as names;
use lanyard_protocol::{
    kubelet::{
        csi::{identity_server::IdentityServer, node_server::NodeServer},
        registration::registration_server::RegistrationServer,
    },
    record::Event,
};
use tokio::{
    runtime::LocalOptions,
    sync::{mpsc, watch},
    task::spawn_local,
};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tracing::{info, warn};

use self::{
    authority::Authority,
    directory::Directory,
    driver::Driver,
    people::{AtTheApiServer, People},
    publish::Publisher,
    said::Said,
    sidecars::Sidecars,
    sockets::PlacedSocket,
};
use crate::{
    args,
    attest::file::{Digests, digest_of_program},
    control, events, forgotten,
    kernel::{Kernel, KernelError, clock::Moment},
    node::{Node, NodeError, Shared},
    place::{Place, PlaceError},
    record::{LeftOpen, RecordError, Recorder},
    scope::trust,
    upkeep::{self, LockError},
};

/// Why the node agent does not start. Then nothing new is enforced, and no pod of an agent starts; what was enforced
/// still is.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A folder.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Another node agent of this node.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The program of brokers.
    #[error("read the program of brokers at {path}: {reason:?}", path = .path.display())]
    Broker {
        /// Where it should be.
        path: PathBuf,
        /// Why it could not be read.
        reason: lanyard_access::reason::AttestationReason,
    },
    /// A socket of the volume driver.
    #[error("serve the volume driver at {path}: {source}", path = .path.display())]
    Driver {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The control socket.
    #[error(transparent)]
    Control(#[from] control::ControlError),
    /// The runtime or the rings.
    #[error("{0}")]
    System(#[from] io::Error),
    /// Signals.
    #[error(transparent)]
    Signals(#[from] lanyard_daemon::shutdown::WatchSignalsError),
}

/// Enforces until a signal comes. The kernel enforces on.
pub fn run(arguments: &args::Cluster) -> Result<(), ClusterError> {
    let mut place = Place::find(&arguments.place)?;
    place.kubelet_root = below(&place.attach_root, &arguments.kubelet_cgroup_root);
    let _only = upkeep::lock(&place)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let served = runtime.block_on(async {
        // A task of its own: what wakes the future that the runtime blocks on goes through the kernel.
        spawn_local(serve(place, arguments.clone()))
            .await
            .map_err(io::Error::other)?
    });
    // A look at a file that never answers is not waited for.
    runtime.shutdown_background();
    served
}

/// A kubelet writes its root from the root of the hierarchy on.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

async fn serve(place: Place, arguments: args::Cluster) -> Result<(), ClusterError> {
    let mut shutdown = lanyard_daemon::shutdown::Shutdown::watch()?;
    let digests = Arc::new(Digests::default());
    let accepted = accepted(&arguments, &digests)?;
    let record = place.record();
    let recorder = Recorder::open(record.clone(), place.node.clone())?;
    let left = LeftOpen::of(&record).map_err(|source| RecordError::System {
        attempt: "read",
        path: record,
        source,
    })?;
    let mut kernel = Kernel::open(&place.node, &place.attach_root)?;
    // What all pods are shown leads to roots and to no code, and counts as nothing that changes what a program loads.
    for text in trust::harmless(names::TRUST_VOLUME.1.as_ref()) {
        let written = kernel.maps.set_own_variable(&text, true);
        written.map_err(KernelError::from)?;
    }
    let observed = place.observed();
    let control_socket = place.control_socket();
    let sockets = place.run.join("pods");
    let credentials = Box::new(Authority::of(arguments.trust_domain.clone()));
    let node = Node::new(place, kernel.maps, recorder, credentials)?;
    let node = Rc::new(RefCell::new(node));
    begin(&node, kernel.adopted);
    spawn_local(upkeep::end_what_was_left(Rc::clone(&node), left));
    let mut looks = events::Looks::default();
    events::adopt(&node, &mut looks);
    events::watch(&node, kernel.rings, looks)?;
    let directory = Rc::new(Directory::default());
    let sidecars = Rc::new(Sidecars::new(sockets, accepted, digests));
    await_brokers(&node, &sidecars);
    let publisher = Rc::new(Publisher {
        node: Rc::clone(&node),
        directory: Rc::clone(&directory),
        sidecars: Rc::clone(&sidecars),
        kubelet: arguments.kubelet_dir.clone(),
    });
    let _sockets = serve_kubelet(&arguments, publisher)?;
    let (ended, mut told_to_end) = watch::channel(false);
    let listener = control::listen(&control_socket)?;
    let served = control::serve(
        listener,
        Rc::clone(&node),
        Rc::new(People),
        Rc::new(AtTheApiServer),
        ended,
    );
    spawn_local(served);
    let staleness = Duration::from_secs(arguments.max_staleness);
    let said = Said::new(Rc::clone(&node), directory, staleness);
    let reach = async || tls::connect(&arguments.operator, &arguments.tls_dir).await;
    upkeep::say_ready();
    tokio::select! {
        () = upkeep::keep_observed(&node, &observed) => {}
        () = upkeep::heal(&node) => {}
        () = upkeep::keep_time(&node) => {}
        () = forgotten::forget(&node) => {}
        () = operator::follow(said, reach) => {}
        () = reap(&node, &sidecars, &arguments.kubelet_dir) => {}
        () = shutdown.signalled() => info!("told to end; the kernel enforces on"),
        _ = told_to_end.wait_for(|ended| *ended) => {}
    }
    upkeep::write_observed(&node, &observed);
    Ok(())
}

/// Forgets pods that are over, and looks again for cgroups that could not be marked.
///
/// A kubelet unpublishes what it published; of a pod that it gave up before, nothing is left but that its folder is gone.
async fn reap(node: &Shared, sidecars: &Sidecars, kubelet: &Path) {
    const EACH: Duration = Duration::from_secs(1);
    let mut tick = tokio::time::interval(EACH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut node = node.borrow_mut();
        let now = Moment::now();
        for uid in node.idle_pods() {
            if !kubelet.join("pods").join(uid.as_str()).exists() {
                sidecars.forget(&uid);
                node.release_pod(&uid, now);
            }
        }
        node.reap(now);
        node.mark_pods();
    }
}

/// The brokers that pods may run: of this version, and of those that are named.
fn accepted(
    arguments: &args::Cluster,
    digests: &Digests,
) -> Result<Vec<lanyard_access::digest::Sha256Digest>, ClusterError> {
    let own = digest_of_program(&arguments.broker, digests);
    let own = own.map_err(|reason| ClusterError::Broker {
        path: arguments.broker.clone(),
        reason,
    })?;
    let others = arguments.accept_broker.iter().copied();
    Ok([own].into_iter().chain(others).collect())
}

/// Takes up what the kernel enforces, before anything new is said.
fn begin(node: &Shared, adopted: bool) {
    let now = Moment::now();
    let mut node = node.borrow_mut();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    node.record(Event::NodeStarted { version, adopted }, now);
    if adopted {
        upkeep::take_up_flows(&mut node, now);
    }
    node.keep();
}

/// The brokers of pods that were there before this node agent come again.
fn await_brokers(node: &Shared, sidecars: &Rc<Sidecars>) {
    let known: Vec<_> = {
        let node = node.borrow();
        let pods = node.scopes.iter();
        let pods = pods.filter_map(|(id, scope)| Some((*id, scope.fence.pod()?.uid.clone())));
        pods.collect()
    };
    for (id, uid) in known {
        if let Err(error) = sidecars.expect(node, id, &uid) {
            warn!(%error, pod = %uid, "the broker of a pod is not waited for");
        }
    }
}

/// The names of the sockets that a kubelet speaks to.
///
/// Its client (grpc-go) sends the path that it dials as `:authority`, with each `/` as `%2F`. That is no host, which h2
/// refuses with `PROTOCOL_ERROR`; before an `@` it is a user (RFC 3986, 3.2), which may be written so.
const DRIVER_SOCKET: &str = "csi@lanyard.sock";
const REGISTRATION_SOCKET: &str = "csi@lanyard.dev-reg.sock";

/// Serves the volume driver, and has the kubelet know it.
fn serve_kubelet(
    arguments: &args::Cluster,
    publisher: Rc<Publisher>,
) -> Result<[PlacedSocket; 2], ClusterError> {
    let plugin = arguments.kubelet_dir.join("plugins").join(names::DRIVER);
    std::fs::create_dir_all(&plugin)?;
    let endpoint = plugin.join(DRIVER_SOCKET);
    let registry = arguments.kubelet_dir.join("plugins_registry");
    let registration = registry.join(REGISTRATION_SOCKET);
    let (asks, asked) = mpsc::channel(driver::WAITING);
    let driver = Driver {
        node: arguments.place.node.clone(),
        endpoint: endpoint.display().to_string(),
        asks,
    };
    spawn_local(publisher.answer_each(asked));
    let listen = |path: &Path| {
        PlacedSocket::listen(path, 0o600).map_err(|source| ClusterError::Driver {
            path: path.to_owned(),
            source,
        })
    };
    // First the driver: a kubelet calls it as soon as it knows where it is.
    let (driver_socket, driver_listener) = listen(&endpoint)?;
    let driver_server = Server::builder()
        .add_service(IdentityServer::new(driver.clone()))
        .add_service(NodeServer::new(driver.clone()))
        .serve_with_incoming(UnixListenerStream::new(driver_listener));
    spawn_local(told("the volume driver", driver_server));
    let (registration_socket, registration_listener) = listen(&registration)?;
    let registration_server = Server::builder()
        .add_service(RegistrationServer::new(driver))
        .serve_with_incoming(UnixListenerStream::new(registration_listener));
    spawn_local(told(
        "the registration of the volume driver",
        registration_server,
    ));
    Ok([driver_socket, registration_socket])
}

async fn told(
    what: &'static str,
    server: impl Future<Output = Result<(), tonic::transport::Error>>,
) {
    if let Err(error) = server.await {
        tracing::error!(%error, what, "a server of the kubelet ended; no pod of an agent starts any more");
    }
}

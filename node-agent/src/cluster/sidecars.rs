//! Brokers in pods: each comes to the socket of its pod, is attested, and leaves the scope of its pod.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{fs::DirBuilderExt as _, net::UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use lanyard_access::{digest::Sha256Digest, pod as names, reason::AttestationReason};
use lanyard_node_agent_abi::{
    event::{ExecEvent, evidence},
    process::{Process, flags},
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixStream},
    task::{AbortHandle, spawn_blocking, spawn_local},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::sockets::PlacedSocket;
use crate::{
    attest::file::{self, Digests},
    broker,
    kernel::{MapError, clock::Moment, namespace},
    node::{NodeError, Shared},
    scope::pod::PodUid,
};

/// How long a process may take to be known to the node: it is told of executions in turn.
const KNOWN: Duration = Duration::from_secs(5);
/// How often it is looked whether it is.
const LOOK: Duration = Duration::from_millis(20);
/// The file by which a broker's probe sees that it is served.
const READY: &str = "ready";

/// Why a process is not taken for a pod's broker.
#[derive(Debug, Error)]
pub(super) enum SidecarError {
    /// The system.
    #[error("{attempt}: {source}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It is in another pod, or in none.
    #[error("the process is not in this pod")]
    Elsewhere,
    /// It is not what its container began with.
    #[error("the process is not the first one of its container, or it is traced")]
    NotFirst,
    /// The container has no seccomp profile, or lets processes gain privileges.
    #[error("the container of the broker lacks a seccomp profile, or allows privilege escalation")]
    Unconfined,
    /// It was started with variables that change what it loads.
    #[error("the process has variables that change what it loads, or they could not be read")]
    LoaderVariables,
    /// It was never told of, or has ended.
    #[error("the process is not known, or has ended")]
    Unknown,
    /// It could not be looked at.
    #[error("look at the program of the process: {0:?}")]
    Look(AttestationReason),
    /// It runs another program.
    #[error("the program of the process is no broker that this node agent knows: {0}")]
    OtherProgram(Sha256Digest),
    /// The pod has a broker.
    #[error("the pod has a broker already")]
    Second,
    /// A map of the kernel.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The node.
    #[error(transparent)]
    Node(#[from] NodeError),
}

fn system(attempt: &'static str) -> impl FnOnce(io::Error) -> SidecarError {
    move |source| SidecarError::System { attempt, source }
}

/// The sockets at which brokers of pods are waited for.
pub(super) struct Sidecars {
    /// Below it each pod has a folder.
    folder: PathBuf,
    /// Brokers that are taken for such, by their content.
    accepted: Vec<Sha256Digest>,
    digests: Arc<Digests>,
    expected: RefCell<BTreeMap<PodUid, Expected>>,
}

/// A pod whose broker is waited for.
struct Expected {
    _socket: PlacedSocket,
    accepting: AbortHandle,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Sidecars {
    /// Brokers with one of these digests are waited for below `folder`.
    pub(super) fn new(folder: PathBuf, accepted: Vec<Sha256Digest>, digests: Arc<Digests>) -> Self {
        Self {
            folder,
            accepted,
            digests,
            expected: RefCell::default(),
        }
    }

    /// The folder of a pod, which its broker sees.
    pub(super) fn folder(&self, uid: &PodUid) -> PathBuf {
        self.folder.join(uid.as_str())
    }

    /// Waits for the broker of a pod, whose scope is `id`, from now on. Returns the folder that the broker must see.
    pub(super) fn expect(
        self: &Rc<Self>,
        node: &Shared,
        id: u32,
        uid: &PodUid,
    ) -> Result<PathBuf, SidecarError> {
        let folder = self.folder(uid);
        if self.expected.borrow().contains_key(uid) {
            return Ok(folder);
        }
        // Nobody of this machine comes to the socket by this way; a pod is shown the folder itself.
        let closed = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder);
        closed.map_err(system("make the folder of all brokers"))?;
        fs::create_dir_all(&folder).map_err(system("make the folder of a broker"))?;
        say_not_ready(&folder);
        let name = Path::new(names::BROKER_SOCKET).file_name();
        let path = folder.join(name.unwrap_or_default());
        // Who connects is asked of the kernel: its user says nothing.
        let (socket, listener) =
            PlacedSocket::listen(&path, 0o666).map_err(system("listen for a broker"))?;
        let accepting = spawn_local(accept(
            Rc::clone(self),
            Rc::clone(node),
            id,
            folder.clone(),
            listener,
        ));
        let expected = Expected {
            _socket: socket,
            accepting: accepting.abort_handle(),
        };
        self.expected.borrow_mut().insert(uid.clone(), expected);
        Ok(folder)
    }

    /// Waits no longer: the pod is over.
    pub(super) fn forget(&self, uid: &PodUid) {
        self.expected.borrow_mut().remove(uid);
        let folder = self.folder(uid);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%error, "the folder of a pod's broker could not be removed");
            }
            _ => {}
        }
    }
}

async fn accept(
    sidecars: Rc<Sidecars>,
    node: Shared,
    id: u32,
    folder: PathBuf,
    listener: UnixListener,
) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a broker was not heard");
                sleep(LOOK).await;
                continue;
            }
        };
        // One after the other: a pod has one broker.
        match sidecars.serve(&node, id, &folder, stream).await {
            Ok(()) => {}
            Err(error) => {
                warn!(%error, scope = id, "a process was not taken for the broker of its pod");
            }
        }
    }
}

impl Sidecars {
    async fn serve(
        &self,
        node: &Shared,
        id: u32,
        folder: &Path,
        stream: UnixStream,
    ) -> Result<(), SidecarError> {
        let peer = stream.peer_cred().map_err(system("ask who connects"))?;
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.ok_or(SidecarError::Unknown)?;
        let process = handle(pid)?;
        let known = attest(self, node, id, pid).await?;
        let network = namespace::network_of(pid).map_err(system("find the network of a pod"))?;
        // The number was its own all the time, if it still lives.
        if !is_alive(&process) {
            return Err(SidecarError::Unknown);
        }
        let stream = stream.into_std().map_err(system("take a link"))?;
        {
            let mut node = node.borrow_mut();
            node.maps.except_broker(pid, known.exec_id)?;
            node.open_listeners(id, network)?;
            let scope = node.scopes.get(&id).ok_or(SidecarError::Unknown)?;
            let listeners = scope.listeners.as_ref().ok_or(SidecarError::Unknown)?;
            hand_over(&stream, &listeners.descriptors())?;
        }
        info!(scope = id, pid, "the broker of a pod is served");
        let ready = folder.join(READY);
        fs::write(&ready, "").map_err(system("say that a broker is served"))?;
        let served = broker::attend(node, id, stream).await;
        say_not_ready(folder);
        // What it said last is heard first.
        tokio::task::yield_now().await;
        let mut node = node.borrow_mut();
        node.brokers.remove(&id);
        node.broker_gone(id, Moment::now());
        match served {
            Ok(()) => info!(scope = id, "the broker of a pod ended"),
            Err(error) => warn!(%error, scope = id, "the broker of a pod ended"),
        }
        Ok(())
    }
}

fn hand_over(
    stream: &StdStream,
    sockets: &[std::os::fd::BorrowedFd<'_>],
) -> Result<(), SidecarError> {
    // One byte with descriptors, into an empty buffer.
    broker::hand_over(stream, sockets).map_err(system("hand sockets to a broker"))
}

fn say_not_ready(folder: &Path) {
    match fs::remove_file(folder.join(READY)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(%error, "a broker that is not served still seems to be");
        }
        _ => {}
    }
}

/// Whether the process is the broker of its pod: the genuine program, as the first thing that its container executed.
async fn attest(
    sidecars: &Sidecars,
    node: &Shared,
    id: u32,
    pid: u32,
) -> Result<Process, SidecarError> {
    // What the kernel knows comes first: whoever else connects is turned away at once, and keeps no broker waiting.
    let known = node.borrow().maps.process(pid);
    let known = known.ok_or(SidecarError::Elsewhere)?;
    judge(&known, id)?;
    let event = timeout(KNOWN, event_of(node, pid));
    let event = event.await.map_err(|_| SidecarError::Unknown)?;
    judge_start(&known, &event)?;
    let digests = Arc::clone(&sidecars.digests);
    // It may wait for a disk.
    let looked = spawn_blocking(move || file::digest_of_image(&event, &digests)).await;
    let digest = looked
        .map_err(|error| SidecarError::System {
            attempt: "look at the program of a process",
            source: io::Error::other(error),
        })?
        .map_err(SidecarError::Look)?;
    if !sidecars.accepted.contains(&digest) {
        return Err(SidecarError::OtherProgram(digest));
    }
    let node = node.borrow();
    if node.brokers.contains_key(&id) {
        return Err(SidecarError::Second);
    }
    // Nothing else meanwhile.
    if node.maps.process(pid) != Some(known) {
        return Err(SidecarError::NotFirst);
    }
    Ok(known)
}

/// What the kernel told of the image that a process runs.
async fn event_of(node: &Shared, pid: u32) -> ExecEvent {
    loop {
        {
            let node = node.borrow();
            let process = node.maps.process(pid);
            let image = process.and_then(|process| node.images.get(process.exec_id));
            if let Some(image) = image {
                return image.event;
            }
        }
        sleep(LOOK).await;
    }
}

/// What the kernel knows of the process, against what a broker is.
fn judge(known: &Process, scope: u32) -> Result<(), SidecarError> {
    const FIRST: u32 = flags::ROOTED | flags::FIRST;
    if known.scope != scope {
        return Err(SidecarError::Elsewhere);
    }
    if known.flags & FIRST != FIRST || known.flags & (flags::TRACED | flags::OTHER_FILE) != 0 {
        return Err(SidecarError::NotFirst);
    }
    if known.flags & flags::UNCONFINED != 0 {
        return Err(SidecarError::Unconfined);
    }
    Ok(())
}

/// And what was seen when it was executed.
fn judge_start(known: &Process, event: &ExecEvent) -> Result<(), SidecarError> {
    if known.exec_id != event.exec_id {
        return Err(SidecarError::NotFirst);
    }
    if event.loader != 0 || event.evidence & evidence::LOADER_UNREAD != 0 {
        return Err(SidecarError::LoaderVariables);
    }
    Ok(())
}

fn handle(pid: u32) -> Result<OwnedFd, SidecarError> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(SidecarError::Unknown)?;
    let opened = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
    opened.map_err(system("take hold of a process"))
}

fn is_alive(process: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(process, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // A pidfd is readable once the process has ended.
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&at_once))) == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: u32 = 7;

    fn broker() -> (Process, ExecEvent) {
        let process = Process {
            exec_id: 9,
            scope: SCOPE,
            flags: flags::ROOTED | flags::FIRST,
        };
        let event = ExecEvent {
            exec_id: 9,
            scope: SCOPE,
            ..ExecEvent::ZERO
        };
        (process, event)
    }

    fn judged(change: impl FnOnce(&mut Process, &mut ExecEvent)) -> Result<(), String> {
        let (mut process, mut event) = broker();
        change(&mut process, &mut event);
        let judged = judge(&process, SCOPE).and_then(|()| judge_start(&process, &event));
        judged.map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn a_broker_is_the_first_of_its_container_and_nothing_else_is() {
        assert_eq!(judged(|_, _| {}), Ok(()));
        let refused = |change: fn(&mut Process, &mut ExecEvent)| judged(change).unwrap_err();
        assert_eq!(refused(|process, _| process.scope = 8), "Elsewhere");
        assert_eq!(refused(|process, _| process.flags = 0), "NotFirst");
        let forked = refused(|process, _| process.flags = flags::ROOTED);
        assert_eq!(forked, "NotFirst");
        let traced = refused(|process, _| process.flags |= flags::TRACED);
        assert_eq!(traced, "NotFirst");
        assert_eq!(refused(|process, _| process.exec_id = 10), "NotFirst");
        let unconfined = refused(|process, _| process.flags |= flags::UNCONFINED);
        assert_eq!(unconfined, "Unconfined");
        assert_eq!(refused(|_, event| event.loader = 1), "LoaderVariables");
        let unread = refused(|_, event| event.evidence |= evidence::LOADER_UNREAD);
        assert_eq!(unread, "LoaderVariables");
    }
}

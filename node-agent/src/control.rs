//! The control socket: what `lanyard` asks this node, and what may be asked by whom.

mod down;
mod explain;
mod objects;
mod peer;
mod queries;
mod requests;
mod room;
mod run;
mod trust;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use lanyard_protocol::{
    control::{Done as Ended, Refused, Reply, Request, reply, request::Verb},
    frame,
};
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixStream},
    task::spawn_local,
};
use tracing::{debug, warn};

pub use self::{
    down::{begin, drain, finish},
    objects::{Done, Objects},
    queries::time_left,
};
use self::{
    peer::Peer,
    room::{Room, Who},
};
use crate::{
    callers::{Caller, Callers},
    node::Shared,
};

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the control socket is not served.
#[derive(Debug, Error)]
#[error("{attempt} the control socket {path}: {source}", path = .path.display())]
pub struct ControlError {
    attempt: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What a verb ends with when it is not done: what is wrong, and what to do about it.
pub(crate) type Denied = Refused;

/// Who asks.
fn caller(node: &Shared, peer: &Peer) -> Caller {
    Caller {
        uid: peer.uid,
        scope: node.borrow().scope_of(peer.pid),
    }
}

/// Refuses with a message and a hint.
pub(crate) fn denied(message: impl Into<String>, hint: impl Into<String>) -> Denied {
    Refused {
        message: message.into(),
        hint: hint.into(),
    }
}

/// Opens the socket. Everybody may connect; each verb checks who asks.
pub fn listen(path: &Path) -> Result<UnixListener, ControlError> {
    let failed = |attempt| {
        move |source| ControlError {
            attempt,
            path: path.to_owned(),
            source,
        }
    };
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(failed("replace")(source));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed("open"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).map_err(failed("open"))?;
    Ok(listener)
}

/// Serves until `ended` says that enforcement was ended by an explicit instruction.
pub async fn serve(
    listener: UnixListener,
    node: Shared,
    callers: Rc<dyn Callers>,
    objects: Rc<dyn Objects>,
    ended: tokio::sync::watch::Sender<bool>,
) {
    let room = Rc::new(Room::default());
    let mut told = ended.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = told.wait_for(|ended| *ended) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let Ok(peer) = Peer::of(&stream) else {
                    continue; // it is gone already
                };
                let who = Who::of(peer.uid, node.borrow().scope_of(peer.pid));
                // Asked after: the number was its own while its scope was looked up. A process that left its
                // socket to another before it ended says nothing about who talks now.
                if !peer.is_alive() {
                    debug!(?who, "a caller ended before it asked");
                    continue;
                }
                let Some(place) = Room::enter(&room, who) else {
                    debug!(?who, "too many conversations at once; one was closed");
                    continue;
                };
                let rules = Rules {
                    callers: Rc::clone(&callers),
                    objects: Rc::clone(&objects),
                };
                let (node, ended) = (Rc::clone(&node), ended.clone());
                spawn_local(async move {
                    if let Err(error) = converse(stream, peer, node, rules, ended).await {
                        debug!(%error, "a conversation ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "a caller could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// What holds for every conversation.
struct Rules {
    callers: Rc<dyn Callers>,
    objects: Rc<dyn Objects>,
}

async fn converse(
    mut stream: UnixStream,
    peer: Peer,
    node: Shared,
    rules: Rules,
    ended: tokio::sync::watch::Sender<bool>,
) -> Result<(), frame::FrameError> {
    let received = tokio::time::timeout(PATIENCE, peer::receive(&mut stream)).await;
    let (request, descriptor): (Request, _) =
        received.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let (callers, objects) = (&*rules.callers, &*rules.objects);
    let outcome = match request.verb {
        Some(Verb::Run(asked)) => {
            run::run(&mut stream, &node, callers, &peer, asked, descriptor).await
        }
        Some(Verb::Status(_)) => queries::status(&mut stream, &node, callers, &peer).await,
        Some(Verb::Explain(asked)) => {
            explain::explain(&mut stream, &node, callers, &peer, &asked).await
        }
        Some(Verb::Tail(asked)) => queries::tail(&mut stream, &node, callers, &peer, &asked).await,
        Some(Verb::Revoke(asked)) => {
            queries::revoke(&mut stream, &node, callers, &peer, &asked).await
        }
        Some(Verb::Down(asked)) => {
            down::down(&mut stream, &node, callers, &peer, &asked, &ended).await
        }
        Some(Verb::Apply(asked)) => {
            objects::apply(&mut stream, &node, callers, objects, &peer, &asked).await
        }
        Some(Verb::Delete(asked)) => {
            objects::delete(&mut stream, &node, callers, objects, &peer, &asked).await
        }
        Some(Verb::Get(asked)) => {
            objects::get(&mut stream, &node, callers, objects, &peer, &asked).await
        }
        Some(Verb::Ask(asked)) => {
            requests::ask(&mut stream, &node, callers, objects, &peer, asked).await
        }
        Some(Verb::Decide(asked)) => {
            requests::decide(&mut stream, &node, callers, objects, &peer, &asked).await
        }
        Some(Verb::Trust(_)) => trust::trust(&mut stream, &node, &peer).await,
        Some(Verb::Suggest(asked)) => {
            objects::suggest(&mut stream, &node, callers, &peer, &asked).await
        }
        None => Ok(Err(denied(
            "the request is not understood",
            "use the `lanyard` of the same version",
        ))),
    }?;
    let last = match outcome {
        Ok(()) => reply::Reply::Done(Ended {}),
        Err(refused) => reply::Reply::Refused(refused),
    };
    say(&mut stream, last).await
}

/// A verb's end: done or refused, unless the caller went away.
pub(crate) type Outcome = Result<Result<(), Denied>, frame::FrameError>;

/// Sends one reply.
pub(crate) async fn say(
    stream: &mut UnixStream,
    reply: reply::Reply,
) -> Result<(), frame::FrameError> {
    frame::send(stream, &Reply { reply: Some(reply) }).await
}

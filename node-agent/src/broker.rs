//! A scope's broker as its node agent sees it: a process, and a socket pair that only the two hold.

mod calls;
mod in_flight;
mod memory;
mod process;
mod secrets;

use std::{
    io,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    time::Duration,
};

use lanyard_daemon::link;
use lanyard_protocol::{
    broker::{Answer, FromAgent, answer, from_agent::Message},
    frame::{self, FrameError, Incoming},
};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
};
use tracing::{debug, info, warn};

use crate::{kernel::clock::Moment, node::Shared};

/// How many messages may wait for a broker that does not read. Then it is ended.
const WAITING: usize = 1024;

/// The number of calls whose answer no broker waits for.
const UNANSWERED: u64 = 0;

/// How many messages are written at once.
const AT_ONCE: usize = 64;

/// A running broker. It is ended when this is dropped.
pub struct Broker {
    messages: mpsc::Sender<FromAgent>,
    /// Closed with this; nothing is ever sent.
    _alive: oneshot::Sender<()>,
}

impl Broker {
    /// Sends a message; false if it does not read what it is told. Then it must be dropped, for it works from
    /// what is no longer so.
    #[must_use]
    pub fn send(&self, message: FromAgent) -> bool {
        self.messages.try_send(message).is_ok()
    }
}

/// Why a broker ended.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// It could not be started.
    #[error("start a broker: {0}")]
    Start(#[source] io::Error),
    /// What it said was not understood, or it went away.
    #[error("talk to a broker: {0}")]
    Talk(#[from] FrameError),
    /// Its scope is gone.
    #[error("its scope is gone")]
    ScopeGone,
}

/// Runs the broker of a scope for as long as there is the scope. A broker that ends is started anew, on
/// the same ports; until then connections wait.
pub fn keep_running(node: &Shared, scope: u32) {
    let node = Rc::clone(node);
    spawn_local(async move {
        let mut pause = Duration::from_millis(50);
        while node.borrow().scopes.contains_key(&scope) {
            match run(&node, scope).await {
                Err(BrokerError::ScopeGone) => return,
                Err(error) => warn!(%error, scope, "a broker ended"),
                Ok(()) => info!(scope, "a broker ended"),
            }
            // What it said last is heard first.
            tokio::task::yield_now().await;
            {
                let mut node = node.borrow_mut();
                node.brokers.remove(&scope);
                node.broker_gone(scope, Moment::now());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    });
}

async fn run(node: &Shared, scope: u32) -> Result<(), BrokerError> {
    let (process, stream) = {
        let node = node.borrow();
        let scope = node.scopes.get(&scope).ok_or(BrokerError::ScopeGone)?;
        let listeners = scope.listeners.as_ref().ok_or(BrokerError::ScopeGone)?;
        process::start(&listeners.descriptors()).map_err(BrokerError::Start)?
    };
    let result = attend(node, scope, stream).await;
    // Whatever it still does, it does nothing more for this scope.
    drop(process);
    result
}

/// Serves a broker over its link, until it goes away or must. Its sockets are with it.
pub async fn attend(node: &Shared, scope: u32, stream: UnixStream) -> Result<(), BrokerError> {
    let (messages, outgoing) = mpsc::channel(WAITING);
    let (alive, dropped) = oneshot::channel();
    let state = {
        let mut node = node.borrow_mut();
        let state = node.state_of(scope).ok_or(BrokerError::ScopeGone)?;
        let broker = Broker {
            messages: messages.clone(),
            _alive: alive,
        };
        node.brokers.insert(scope, broker);
        state
    };
    let talk = talk(
        node,
        scope,
        stream,
        messages,
        outgoing,
        state_message(state),
    );
    tokio::select! {
        result = talk => result,
        _ = dropped => Err(BrokerError::ScopeGone),
    }
}

/// Hands a broker the sockets that it listens on: the first thing that comes over its link.
pub fn hand_over(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    process::hand_over(stream.as_fd(), sockets)
}

fn state_message(state: lanyard_protocol::broker::ScopeState) -> FromAgent {
    FromAgent {
        message: Some(Message::State(state)),
    }
}

/// Nobody waits for the answer; why there is none is of use here.
fn told_nobody(scope: u32, answer: &Answer) {
    if let Some(answer::Answer::Failed(reason)) = &answer.answer {
        debug!(scope, reason, "a call of a broker failed");
    }
}

async fn talk(
    node: &Shared,
    scope: u32,
    stream: UnixStream,
    answers: mpsc::Sender<FromAgent>,
    mut outgoing: mpsc::Receiver<FromAgent>,
    state: FromAgent,
) -> Result<(), BrokerError> {
    let (reader, mut writer) = link::split(stream).map_err(FrameError::Stream)?;
    let mut reader = Incoming::new(reader);
    frame::send(&mut writer, &state).await?;
    let write = async {
        let mut next = Vec::new();
        while outgoing.recv_many(&mut next, AT_ONCE).await > 0 {
            frame::send_all(&mut writer, next.iter()).await?;
            next.clear();
        }
        Ok::<(), BrokerError>(())
    };
    let held = Rc::new(());
    let read = async {
        let answer = |call| {
            let (node, answers) = (Rc::clone(node), answers.clone());
            let connected = Rc::downgrade(&held);
            async move {
                let answer = calls::answer(&node, scope, &connected, call).await;
                if answer.id == UNANSWERED {
                    return told_nobody(scope, &answer);
                }
                let message = FromAgent {
                    message: Some(Message::Answer(answer)),
                };
                // The broker is gone: nobody waits for the answer.
                let _ = answers.send(message).await;
            }
        };
        in_flight::answer_each(&mut reader, answer).await
    };
    tokio::select! {
        result = write => result,
        result = read => Ok(result?),
    }
}

//! A scope's broker as its node agent sees it: a process, and a socket pair that only the two hold.

mod calls;
mod process;

use std::{io, rc::Rc, time::Duration};

use lanyard_protocol::{
    broker::{FromAgent, FromBroker, from_agent::Message},
    frame::{self, FrameError},
};
use thiserror::Error;
use tokio::{
    net::UnixStream,
    sync::{mpsc, oneshot},
    task::spawn_local,
};
use tracing::{info, warn};

use crate::{kernel::clock::Moment, node::Shared};

/// How many messages may wait for a broker that does not read. Then it is ended.
const WAITING: usize = 1024;

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
enum BrokerError {
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
        process::start(&scope.listeners.descriptors()).map_err(BrokerError::Start)?
    };
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
    let result = tokio::select! {
        result = talk => result,
        _ = dropped => Err(BrokerError::ScopeGone),
    };
    // Whatever it still does, it does nothing more for this scope.
    drop(process);
    result
}

fn state_message(state: lanyard_protocol::broker::ScopeState) -> FromAgent {
    FromAgent {
        message: Some(Message::State(state)),
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
    let (mut reader, mut writer) = stream.into_split();
    frame::send(&mut writer, &state).await?;
    let write = async {
        while let Some(message) = outgoing.recv().await {
            frame::send(&mut writer, &message).await?;
        }
        Ok::<(), BrokerError>(())
    };
    let held = Rc::new(());
    let read = async {
        loop {
            let message: FromBroker = frame::receive(&mut reader).await?;
            if let Some(call) = message.call {
                let (node, answers) = (Rc::clone(node), answers.clone());
                let connected = Rc::downgrade(&held);
                spawn_local(async move {
                    let answer = calls::answer(&node, scope, &connected, call).await;
                    let message = FromAgent {
                        message: Some(Message::Answer(answer)),
                    };
                    // The broker is gone: nobody waits for the answer.
                    let _ = answers.send(message).await;
                });
            }
        }
    };
    tokio::select! {
        result = write => result,
        result = read => result,
    }
}

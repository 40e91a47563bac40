//! The link to the node agent: its states come in, calls go out and are answered.

mod calls;
mod outgoing;
mod waiting;

use std::{
    io::ErrorKind,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lanyard_daemon::link;
use lanyard_protocol::{
    broker::{Answer, Call, FromAgent, FromBroker, answer, call, from_agent},
    frame::{FrameError, Incoming},
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use self::{
    outgoing::Outgoing,
    waiting::{Answering, Waiting},
};
use crate::scope::{Scope, ScopeError};

/// The number of every call whose answer nobody waits for.
const UNANSWERED: u64 = 0;

/// A secret, for one request. It cannot be printed.
pub(crate) struct ObtainedSecret {
    /// Its bytes, cleared when dropped.
    pub(crate) value: Zeroizing<Vec<u8>>,
    /// The user name, of credentials that have one.
    pub(crate) username: Option<String>,
    /// Tells it from those before and after it.
    pub(crate) version: u64,
}

/// Why the link ended.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The stream failed or ended.
    #[error("the link to the node agent: {0}")]
    Frame(FrameError),
    /// A state is not understood.
    #[error("the state of the scope: {0}")]
    Scope(ScopeError),
    /// A message that does not belong here.
    #[error("the node agent sent {0}")]
    Unexpected(&'static str),
}

impl From<FrameError> for LinkError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl From<ScopeError> for LinkError {
    fn from(error: ScopeError) -> Self {
        Self::Scope(error)
    }
}

/// Why a call has no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// No answer came in time.
    #[error("the node agent did not answer in time")]
    Timeout,
    /// The link ended.
    #[error("the node agent is gone")]
    Gone,
    /// The node agent said no.
    #[error("the node agent refused: {0}")]
    Failed(String),
    /// The answer is for another question.
    #[error("the node agent's answer is not understood")]
    Unexpected,
    /// The grant allows no further request.
    #[error("as many requests as the grant allows were made")]
    UsedUp,
    /// The event could not be written down.
    #[error("the event is not representable: {0}")]
    Event(serde_json::Error),
}

/// Calls to the node agent.
#[derive(Debug)]
pub struct Agent {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    waiting: Arc<Waiting>,
    next: AtomicU64,
    is_ending: AtomicBool,
}

/// The two halves of the stream, to be driven by [`Link::run`].
#[derive(Debug)]
pub struct Link {
    reader: Incoming<link::Reader>,
    writer: link::Writer,
    /// Dropped before `answering`: what is called after that is not even handed over.
    outgoing: mpsc::UnboundedReceiver<Outgoing>,
    answering: Answering,
    scope: Arc<watch::Sender<Arc<Scope>>>,
}

/// Waits for the first state, then hands out what calls, what carries the calls, and the state.
pub async fn connect(
    stream: UnixStream,
) -> Result<(Arc<Agent>, Link, Arc<watch::Sender<Arc<Scope>>>), LinkError> {
    let (reader, writer) = link::split(stream).map_err(FrameError::Stream)?;
    let mut reader = Incoming::new(reader);
    let first: FromAgent = reader.receive().await?;
    let Some(from_agent::Message::State(state)) = first.message else {
        return Err(LinkError::Unexpected("no state of the scope first"));
    };
    let scope = Arc::new(watch::Sender::new(Arc::new(Scope::try_from(state)?)));
    let (sender, outgoing) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting::default());
    let agent = Agent {
        outgoing: sender,
        waiting: Arc::clone(&waiting),
        next: AtomicU64::new(1),
        is_ending: AtomicBool::new(false),
    };
    let link = Link {
        reader,
        writer,
        outgoing,
        answering: Answering(waiting),
        scope: Arc::clone(&scope),
    };
    Ok((Arc::new(agent), link, scope))
}

impl Link {
    /// Carries messages both ways until the link ends.
    pub async fn run(mut self) -> LinkError {
        let error = tokio::select! {
            error = read(&mut self.reader, &self.answering.0, &self.scope) => error,
            error = outgoing::write(&mut self.writer, &mut self.outgoing) => error.into(),
            never = self.answering.0.keep_time() => match never {},
        };
        ordinary_end(error)
    }
}

/// A socket pair whose other end is closed says so in different words, depending on what was under way.
fn ordinary_end(error: LinkError) -> LinkError {
    let LinkError::Frame(FrameError::Stream(stream)) = &error else {
        return error;
    };
    let is_ordinary = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&stream.kind());
    if is_ordinary {
        FrameError::Closed.into()
    } else {
        error
    }
}

async fn read(
    reader: &mut Incoming<link::Reader>,
    waiting: &Waiting,
    scope: &watch::Sender<Arc<Scope>>,
) -> LinkError {
    loop {
        let received: Result<FromAgent, _> = reader.receive().await;
        let message = match received {
            Ok(received) => received.message,
            Err(error) => return error.into(),
        };
        match message {
            Some(from_agent::Message::State(state)) => match Scope::try_from(state) {
                Ok(state) => drop(scope.send_replace(Arc::new(state))),
                Err(error) => return error.into(),
            },
            Some(from_agent::Message::Answer(Answer { id, answer })) => {
                // Who no longer waits is not owed an answer.
                if let Some(answer) = answer {
                    waiting.answer(id, answer);
                }
            }
            None => return LinkError::Unexpected("an empty message"),
        }
    }
}

impl Agent {
    /// From now on what is dropped ends because this process does.
    pub fn set_ending(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// Whether this process is ending.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Waits until everything handed over before is with the node agent.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.outgoing.send(Outgoing::Flush(done)).is_ok() {
            drop(flushed.await);
        }
    }

    async fn call(&self, call: call::Call, limit: Duration) -> Result<answer::Answer, CallError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let answered = self.waiting.begin(id, limit);
        self.hand_over(Outgoing::Call(message(id, call)))?;
        let answer = answered.await?;
        if let answer::Answer::Failed(reason) = answer {
            return Err(CallError::Failed(reason));
        }
        Ok(answer)
    }

    fn send(&self, call: call::Call) -> Result<(), CallError> {
        self.hand_over(Outgoing::Call(message(UNANSWERED, call)))
    }

    /// Sends it with what goes next, or in a moment.
    fn send_with_next(&self, call: call::Call) -> Result<(), CallError> {
        self.hand_over(Outgoing::WithNext(message(UNANSWERED, call)))
    }

    fn hand_over(&self, outgoing: Outgoing) -> Result<(), CallError> {
        self.outgoing.send(outgoing).map_err(|_| CallError::Gone)
    }
}

fn message(id: u64, call: call::Call) -> FromBroker {
    let call = Call {
        id,
        call: Some(call),
    };
    FromBroker { call: Some(call) }
}

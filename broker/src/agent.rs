//! The link to the node agent: its states come in, calls go out and are answered.

mod calls;

use std::{
    collections::BTreeMap,
    fmt,
    io::ErrorKind,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lanyard_protocol::{
    broker::{Answer, Call, FromAgent, FromBroker, answer, call, from_agent},
    frame::{self, FrameError, Incoming},
};
use thiserror::Error;
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use zeroize::Zeroizing;

use crate::scope::{Scope, ScopeError};

/// How many calls are written at once.
const AT_ONCE: usize = 64;

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
    reader: Incoming<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    outgoing: mpsc::UnboundedReceiver<Outgoing>,
    waiting: Arc<Waiting>,
    scope: Arc<watch::Sender<Arc<Scope>>>,
}

#[derive(Debug)]
enum Outgoing {
    Call(FromBroker),
    Flush(oneshot::Sender<()>),
}

type Table = BTreeMap<u64, oneshot::Sender<answer::Answer>>;

/// Who waits for which answer.
#[derive(Default)]
struct Waiting(Mutex<Table>);

/// Waits for the first state, then hands out what calls, what carries the calls, and the state.
pub async fn connect(
    stream: UnixStream,
) -> Result<(Arc<Agent>, Link, Arc<watch::Sender<Arc<Scope>>>), LinkError> {
    let (reader, writer) = stream.into_split();
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
        waiting,
        scope: Arc::clone(&scope),
    };
    Ok((Arc::new(agent), link, scope))
}

impl Link {
    /// Carries messages both ways until the link ends.
    pub async fn run(self) -> LinkError {
        let Self {
            mut reader,
            mut writer,
            mut outgoing,
            waiting,
            scope,
        } = self;
        let error = tokio::select! {
            error = read(&mut reader, &waiting, &scope) => error,
            error = write(&mut writer, &mut outgoing) => error,
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
    reader: &mut Incoming<OwnedReadHalf>,
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
                if let (Some(waiter), Some(answer)) = (waiting.table().remove(&id), answer) {
                    drop(waiter.send(answer));
                }
            }
            None => return LinkError::Unexpected("an empty message"),
        }
    }
}

async fn write(
    writer: &mut OwnedWriteHalf,
    outgoing: &mut mpsc::UnboundedReceiver<Outgoing>,
) -> LinkError {
    let mut next = Vec::new();
    while outgoing.recv_many(&mut next, AT_ONCE).await > 0 {
        let calls = next.iter().filter_map(|next| match next {
            Outgoing::Call(message) => Some(message),
            Outgoing::Flush(_) => None,
        });
        if let Err(error) = frame::send_all(writer, calls).await {
            return error.into();
        }
        for next in next.drain(..) {
            if let Outgoing::Flush(done) = next {
                // Who no longer waits is as well served.
                let _ = done.send(());
            }
        }
    }
    LinkError::Frame(FrameError::Closed)
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
        let (sender, answered) = oneshot::channel();
        let waiter = Waiter {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            waiting: &self.waiting,
        };
        self.waiting.table().insert(waiter.id, sender);
        self.send_as(waiter.id, call)?;
        match timeout(limit, answered).await {
            Err(_) => Err(CallError::Timeout),
            Ok(Err(_)) => Err(CallError::Gone),
            Ok(Ok(answer::Answer::Failed(reason))) => Err(CallError::Failed(reason)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    fn send(&self, call: call::Call) -> Result<(), CallError> {
        self.send_as(UNANSWERED, call)
    }

    fn send_as(&self, id: u64, call: call::Call) -> Result<(), CallError> {
        let call = Call {
            id,
            call: Some(call),
        };
        let message = Outgoing::Call(FromBroker { call: Some(call) });
        self.outgoing.send(message).map_err(|_| CallError::Gone)
    }
}

impl Waiting {
    /// No code panics while it holds the table; what it holds is whole in any case.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Waiting({} calls)", self.table().len())
    }
}

/// Takes a caller that gives up out of the table.
struct Waiter<'a> {
    id: u64,
    waiting: &'a Waiting,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiting.table().remove(&self.id);
    }
}

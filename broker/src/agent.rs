//! The link to the node agent: its states come in, calls go out and are answered.

use std::{
    collections::BTreeMap,
    fmt,
    io::ErrorKind,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lanyard_access::host::DnsName;
use lanyard_protocol::{
    broker::{
        Answer, Attestation, AwaitAttestation, Call, FromAgent, FromBroker, GetProxySecret,
        GetSecret, Intermediate, LeaseBytes, Observed, ReturnBytes, SignIntermediate, answer, call,
        from_agent,
    },
    frame::{self, FrameError, Incoming},
    record::Event,
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
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::scope::{Scope, ScopeError};

/// How long a call may take, unless its caller waits less.
const LONGEST_CALL: Duration = Duration::from_secs(10);

/// How long a secret may take: its source may be slow, and the node agent has limits of its own.
const LONGEST_SECRET: Duration = Duration::from_secs(30);

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

    /// Waits until the image is attested or refused.
    pub async fn await_attestation(
        &self,
        exec_id: u64,
        limit: Duration,
    ) -> Result<Attestation, CallError> {
        let call = call::Call::AwaitAttestation(AwaitAttestation { exec_id });
        let answer = self.call(call, limit).await?;
        let answer::Answer::Attestation(attestation) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(attestation)
    }

    /// The secret of a grant's credential, for one request of a process; another than that of
    /// `refused_version`, if there is another.
    pub(crate) async fn secret(
        &self,
        grant: String,
        exec_id: u64,
        refused_version: u64,
    ) -> Result<ObtainedSecret, CallError> {
        let call = call::Call::GetSecret(GetSecret {
            grant,
            exec_id,
            refused_version,
        });
        self.obtain(call).await
    }

    /// What the machine's proxy wants, for one connection to it.
    pub(crate) async fn proxy_secret(
        &self,
        refused_version: u64,
    ) -> Result<ObtainedSecret, CallError> {
        let call = call::Call::GetProxySecret(GetProxySecret { refused_version });
        self.obtain(call).await
    }

    async fn obtain(&self, call: call::Call) -> Result<ObtainedSecret, CallError> {
        let answer = self.call(call, LONGEST_SECRET).await?;
        let answer::Answer::Secret(mut secret) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(ObtainedSecret {
            value: Zeroizing::new(std::mem::take(&mut secret.value)),
            username: Some(std::mem::take(&mut secret.username)).filter(|name| !name.is_empty()),
            version: secret.version,
        })
    }

    /// A certificate for the broker's key, given as DER of its `SubjectPublicKeyInfo`.
    pub async fn sign_intermediate(&self, public_key: Vec<u8>) -> Result<Intermediate, CallError> {
        let call = call::Call::SignIntermediate(SignIntermediate { public_key });
        let answer = self.call(call, LONGEST_CALL).await?;
        let answer::Answer::Intermediate(intermediate) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(intermediate)
    }

    /// Writes an event down; done when it is written.
    pub async fn record(&self, event: &Event) -> Result<Uuid, CallError> {
        let event = serde_json::to_string(event).map_err(CallError::Event)?;
        let answer = self.call(call::Call::Record(event), LONGEST_CALL).await?;
        let answer::Answer::Recorded(recorded) = answer else {
            return Err(CallError::Unexpected);
        };
        if recorded.id.is_empty() {
            return Err(CallError::UsedUp);
        }
        recorded.id.parse().map_err(|_| CallError::Unexpected)
    }

    /// Bytes that may be carried under a grant with a limit: as many as wanted, or as are left.
    pub(crate) async fn lease_bytes(&self, grant: &str, wanted: u64) -> Result<u64, CallError> {
        let call = call::Call::LeaseBytes(LeaseBytes {
            grant: grant.to_owned(),
            wanted,
        });
        let answer = self.call(call, LONGEST_CALL).await?;
        let answer::Answer::Leased(leased) = answer else {
            return Err(CallError::Unexpected);
        };
        // More than was asked for is nothing that was counted.
        Ok(leased.bytes.min(wanted))
    }

    /// Gives leased bytes back, without waiting for it.
    pub(crate) fn return_bytes_soon(&self, grant: &str, bytes: u64) {
        drop(self.send(call::Call::ReturnBytes(ReturnBytes {
            grant: grant.to_owned(),
            bytes,
        })));
    }

    /// Tells what a name that nothing grants is answered with; done when the node agent knows it.
    pub(crate) async fn observed(
        &self,
        name: &DnsName,
        addresses: &[IpAddr],
    ) -> Result<(), CallError> {
        let addresses = addresses.iter().map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        let call = call::Call::Observed(Observed {
            name: name.to_string(),
            addresses: addresses.collect(),
        });
        let answer = self.call(call, LONGEST_CALL).await?;
        let answer::Answer::Noted(_) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(())
    }

    /// Hands an event over to be written down, in order, without waiting for it.
    pub fn record_soon(&self, event: &Event) {
        match serde_json::to_string(event) {
            Ok(event) => drop(self.send(call::Call::Record(event))),
            Err(error) => tracing::error!(%error, "an event is not representable"),
        }
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

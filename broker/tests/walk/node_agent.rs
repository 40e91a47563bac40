//! The other end of the socket pair, in the place of a node agent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use lanyard_access::reason::RefusalReason;
use lanyard_protocol::{
    broker::{
        Answer, Attestation, Call, FromAgent, FromBroker, Leased, Level, Noted, Observed, Recorded,
        ScopeState, Secret, answer, call, from_agent,
    },
    frame,
    record::{Event, Outcome, Process},
};
use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::AbortHandle,
};
use uuid::Uuid;

use crate::authority::Authority;

/// Why the secret could not be obtained.
pub(crate) const FAILURE: &str = "the file of the secret is not there";

/// What the node agent knows of an image. One that is not known yet is not answered yet.
#[derive(Clone, Copy)]
pub(crate) enum Image {
    Attested(Level),
    Refused,
    NotObserved,
}

pub(crate) struct Knowledge {
    pub images: BTreeMap<u64, Image>,
    /// Without one, credentials cannot be obtained.
    pub secret: Option<Vec<u8>>,
    pub version: u64,
    /// Whether another secret is there when one is refused.
    pub rotates: bool,
    /// How many requests the grant still allows, if it has a limit.
    pub uses: Option<u64>,
    /// While false, nothing is recorded.
    pub records: bool,
}

pub(crate) struct NodeAgent {
    knowledge: watch::Sender<Knowledge>,
    states: mpsc::UnboundedSender<ScopeState>,
    events: watch::Receiver<Vec<Event>>,
    observed: watch::Receiver<Vec<Observed>>,
    /// Bytes that are left under a grant with a limit: 100,000 at first.
    pub left: watch::Receiver<u64>,
    task: AbortHandle,
}

/// What became of a request.
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

struct Side {
    root: Arc<Authority>,
    names: Mutex<Vec<String>>,
    knowledge: watch::Receiver<Knowledge>,
    events: watch::Sender<Vec<Event>>,
    observed: watch::Sender<Vec<Observed>>,
    /// Bytes that are left under the grant.
    left: watch::Sender<u64>,
    out: mpsc::UnboundedSender<from_agent::Message>,
}

impl NodeAgent {
    pub(crate) fn start(stream: UnixStream, root: Arc<Authority>, first: ScopeState) -> Self {
        let knowledge = watch::Sender::new(Knowledge {
            images: BTreeMap::new(),
            secret: None,
            version: 1,
            rotates: false,
            uses: None,
            records: true,
        });
        let (states, new_states) = mpsc::unbounded_channel();
        let (out, outgoing) = mpsc::unbounded_channel();
        let events = watch::Sender::new(Vec::new());
        let agent_events = events.subscribe();
        let observed = watch::Sender::new(Vec::new());
        let agent_observed = observed.subscribe();
        let left = watch::Sender::new(100_000);
        let agent_left = left.subscribe();
        states.send(first).unwrap();
        let side = Arc::new(Side {
            root,
            names: Mutex::default(),
            knowledge: knowledge.subscribe(),
            events,
            observed,
            left,
            out,
        });
        let (reader, writer) = stream.into_split();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = read(reader, Arc::clone(&side)) => {}
                () = write(writer, outgoing) => {}
                () = forward(new_states, &side) => {}
            }
        });
        Self {
            knowledge,
            states,
            events: agent_events,
            observed: agent_observed,
            left: agent_left,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Knowledge)) {
        self.knowledge.send_modify(change);
    }

    pub(crate) fn send_state(&self, state: ScopeState) {
        self.states.send(state).unwrap();
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    /// Names that were told to be answered though nothing grants them.
    pub(crate) fn observed(&self) -> Vec<Observed> {
        self.observed.borrow().clone()
    }

    /// Waits until the events are like that.
    pub(crate) async fn until(&self, are: impl Fn(&[Event]) -> bool) {
        let mut events = self.events.clone();
        events.wait_for(|events| are(events)).await.unwrap();
    }

    /// Waits until such an event was sent, and gives what is picked of the first.
    pub(crate) async fn event<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> T {
        let mut events = self.events.clone();
        loop {
            if let Some(found) = events.borrow_and_update().iter().find_map(&pick) {
                return found;
            }
            events.changed().await.unwrap();
        }
    }

    /// What became of the first request that ended.
    pub(crate) async fn ended(&self) -> Ended {
        self.event(|event| {
            let Event::RequestEnded {
                status,
                sent_bytes,
                received_bytes,
                outcome,
                ..
            } = event
            else {
                return None;
            };
            Some(Ended {
                outcome: *outcome,
                status: *status,
                sent: *sent_bytes,
                received: *received_bytes,
            })
        })
        .await
    }

    /// The host of the first request that was refused, and why.
    pub(crate) async fn refused(&self) -> (String, RefusalReason) {
        self.event(|event| {
            let Event::RequestRefused {
                request, reason, ..
            } = event
            else {
                return None;
            };
            Some((request.host.to_string(), *reason))
        })
        .await
    }

    /// Its process is gone.
    pub(crate) fn die(&self) {
        self.task.abort();
    }
}

async fn read(mut reader: OwnedReadHalf, side: Arc<Side>) {
    while let Ok(message) = frame::receive::<FromBroker>(&mut reader).await {
        let call = message.call.unwrap();
        tokio::spawn(answer(call, Arc::clone(&side)));
    }
}

async fn write(
    mut writer: OwnedWriteHalf,
    mut outgoing: mpsc::UnboundedReceiver<from_agent::Message>,
) {
    while let Some(message) = outgoing.recv().await {
        let message = FromAgent {
            message: Some(message),
        };
        if frame::send(&mut writer, &message).await.is_err() {
            return;
        }
    }
}

async fn forward(mut states: mpsc::UnboundedReceiver<ScopeState>, side: &Side) {
    while let Some(state) = states.recv().await {
        *side.names.lock().unwrap() = state.names.iter().map(|bound| bound.name.clone()).collect();
        side.out.send(from_agent::Message::State(state)).unwrap();
    }
}

/// The first is out of date.
fn proxy_secret(refused_version: u64) -> answer::Answer {
    let mut secret = Secret::default();
    "corp".clone_into(&mut secret.username);
    secret.value = if refused_version == 0 { "old" } else { "new" }.into();
    secret.version = refused_version + 1;
    answer::Answer::Secret(secret)
}

async fn answer(call: Call, side: Arc<Side>) {
    let answer = match call.call.unwrap() {
        call::Call::AwaitAttestation(asked) => side.attestation(asked.exec_id).await,
        call::Call::GetSecret(asked) => side.secret(asked.refused_version),
        call::Call::GetProxySecret(asked) => proxy_secret(asked.refused_version),
        call::Call::SignIntermediate(asked) => {
            let names = side.names.lock().unwrap().clone();
            answer::Answer::Intermediate(side.root.intermediate(&asked.public_key, &names))
        }
        call::Call::Record(event) => side.record(&event).await,
        call::Call::LeaseBytes(asked) => {
            let mut leased = Leased::default();
            side.left.send_modify(|left| {
                leased.bytes = asked.wanted.min(*left);
                *left -= leased.bytes;
            });
            answer::Answer::Leased(leased)
        }
        call::Call::ReturnBytes(unused) => {
            side.left.send_modify(|left| *left += unused.bytes);
            answer::Answer::Leased(Leased::default())
        }
        call::Call::Observed(told) => {
            side.observed.send_modify(|observed| observed.push(told));
            answer::Answer::Noted(Noted {})
        }
    };
    let answer = Answer {
        id: call.id,
        answer: Some(answer),
    };
    let _ = side.out.send(from_agent::Message::Answer(answer));
}

impl Side {
    async fn attestation(&self, exec_id: u64) -> answer::Answer {
        let mut knowledge = self.knowledge.clone();
        let known = knowledge
            .wait_for(|known| known.images.contains_key(&exec_id))
            .await;
        let image = known.unwrap().images[&exec_id];
        let process = Process {
            pid: 4711,
            exec_id,
            path: Some("/usr/bin/agent".into()),
            sha256: None,
            level: None,
            reason: None,
        };
        let (level, reason) = match image {
            Image::Attested(level) => (level, String::new()),
            Image::Refused => (Level::None, "NotListed".into()),
            Image::NotObserved => {
                return answer::Answer::Attestation(Attestation {
                    reason: "NotObserved".into(),
                    ..Attestation::default()
                });
            }
        };
        answer::Answer::Attestation(Attestation {
            level: level.into(),
            reason,
            process: serde_json::to_string(&process).unwrap(),
        })
    }

    fn secret(&self, refused: u64) -> answer::Answer {
        let known = self.knowledge.borrow();
        if known.rotates && refused == known.version {
            let mut secret = Secret::default();
            secret.value = b"new-secret-0123456789".to_vec();
            secret.version = known.version + 1;
            return answer::Answer::Secret(secret);
        }
        match &known.secret {
            Some(value) => {
                let mut secret = Secret::default();
                secret.value.clone_from(value);
                secret.version = known.version;
                answer::Answer::Secret(secret)
            }
            None => answer::Answer::Failed(FAILURE.into()),
        }
    }

    /// The limit of uses is kept beside the knowledge, which only the test changes.
    fn take_use(&self) -> bool {
        let Some(most) = self.knowledge.borrow().uses else {
            return true;
        };
        let is_intent = |event: &&Event| matches!(event, Event::RequestIntended { .. });
        let used = self.events.borrow().iter().filter(is_intent).count();
        (used as u64) < most
    }

    async fn record(&self, event: &str) -> answer::Answer {
        let id = Uuid::now_v7();
        let event: Event = serde_json::from_str(event).unwrap();
        if matches!(event, Event::RequestIntended { .. }) && !self.take_use() {
            return answer::Answer::Recorded(Recorded::default());
        }
        self.events.send_modify(|events| events.push(event));
        let mut knowledge = self.knowledge.clone();
        knowledge.wait_for(|known| known.records).await.unwrap();
        answer::Answer::Recorded(Recorded { id: id.to_string() })
    }
}

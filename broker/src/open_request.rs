//! A request that was intended: whatever becomes of it, that is recorded, once.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
};

use lanyard_access::grant::Limits;
use lanyard_protocol::record::{Event, GrantRef, Outcome, ScopeRef};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    agent::{Agent, CallError, ObtainedSecret},
    clock,
    quota::Quota,
    scope::Scope,
};

/// Shared by all that carries the request; when the last of it is gone, it has ended.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    agent: Arc<Agent>,
    scope: watch::Receiver<Arc<Scope>>,
    reference: ScopeRef,
    intent: Uuid,
    /// The grant that allowed it.
    pub grant: GrantRef,
    /// Whether its grant has a limit: the last of its requests ends it.
    is_limited: bool,
    /// The bytes that it may carry, where its grant has a limit.
    pub quota: Option<Arc<Quota>>,
    status: AtomicU16,
    sent: AtomicU64,
    received: AtomicU64,
    is_sent_whole: AtomicBool,
    outcome: OnceLock<Outcome>,
}

/// A request that was recorded.
pub(crate) struct Opened {
    pub(crate) open: Arc<OpenRequest>,
    /// The credential of its grant, where it was asked for already.
    pub(crate) secret: Option<Result<ObtainedSecret, CallError>>,
}

impl OpenRequest {
    /// Records that a request is intended, and opens it. Of a grant with a credential, `exec_id` is the image that is
    /// to have it.
    pub(crate) async fn record(
        agent: Arc<Agent>,
        intended: Event,
        scope: watch::Receiver<Arc<Scope>>,
        grant: GrantRef,
        limits: Limits,
        exec_id: Option<u64>,
    ) -> Result<Opened, CallError> {
        let reference = scope.borrow().reference.clone();
        let key = grant.key.to_string();
        // The node agent takes calls as they come: what it answers to the second, it recorded before. A use that is
        // counted takes longer, and nothing is asked for before that.
        let asked = exec_id.filter(|_| limits.is_none());
        let secret = async {
            match asked {
                Some(exec_id) => Some(agent.secret(key.clone(), exec_id, 0).await),
                None => None,
            }
        };
        let (intent, secret) = tokio::join!(biased; agent.record(&intended), secret);
        let intent = intent?;
        let quota = limits.bytes.map(|_| Quota::new(Arc::clone(&agent), key));
        let open = Arc::new(Self {
            is_limited: !limits.is_none(),
            quota,
            agent,
            scope,
            reference,
            intent,
            grant,
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            is_sent_whole: AtomicBool::new(false),
            outcome: OnceLock::new(),
        });
        Ok(Opened { open, secret })
    }

    /// A reply came.
    pub(crate) fn set_status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// So much more of the body went to the service.
    pub(crate) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So much more of the body came from the service.
    pub(crate) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The whole of its body went to the service.
    pub(crate) fn set_sent_whole(&self) {
        self.is_sent_whole.store(true, Ordering::Relaxed);
    }

    /// Whether the whole of its body went to the service.
    pub(crate) fn is_sent_whole(&self) -> bool {
        self.is_sent_whole.load(Ordering::Relaxed)
    }

    /// It ended like that. The first to say so is right: what follows is its consequence.
    pub(crate) fn finish(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let status = self.status.load(Ordering::Relaxed);
        let ended = Event::RequestEnded {
            scope: self.reference.clone(),
            intent: self.intent,
            status: (status != 0).then_some(status),
            sent_bytes: self.sent.load(Ordering::Relaxed),
            received_bytes: self.received.load(Ordering::Relaxed),
            outcome,
        };
        // Nothing follows from its end alone.
        if outcome == Outcome::Completed && !self.is_limited {
            self.agent.record_with_next(&ended);
        } else {
            self.agent.record_soon(&ended);
        }
    }
}

impl OpenRequest {
    /// Whether its grant still gives access.
    pub(crate) fn is_granted(&self) -> bool {
        self.scope.borrow().holds(&self.grant, clock::boot_now())
    }

    /// It broke off, as it looks by `outcome`. Where its grant has ended, that is why: what it used was cut.
    pub(crate) fn break_off(&self, outcome: Outcome) {
        self.finish(if self.is_granted() {
            outcome
        } else {
            Outcome::CutByGrantEnd
        });
    }
}

impl Drop for OpenRequest {
    /// Nobody wants the rest: this process ends, or the agent's side is gone. The other ends are told apart
    /// before.
    fn drop(&mut self) {
        if self.agent.is_ending() {
            self.finish(Outcome::BrokerEnded);
        } else {
            self.break_off(Outcome::ClosedByAgent);
        }
    }
}

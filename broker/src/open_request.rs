//! A request that was intended: whatever becomes of it, that is recorded, once.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU16, AtomicU64, Ordering},
};

use lanyard_protocol::record::{Event, GrantRef, Outcome, ScopeRef};
use uuid::Uuid;

use crate::agent::{Agent, CallError};

/// Shared by all that carries the request; when the last of it is gone, it has ended.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    agent: Arc<Agent>,
    scope: ScopeRef,
    intent: Uuid,
    /// The grant that allowed it.
    pub grant: GrantRef,
    status: AtomicU16,
    sent: AtomicU64,
    received: AtomicU64,
    outcome: OnceLock<Outcome>,
}

impl OpenRequest {
    /// Records that a request is intended, and opens it.
    pub(crate) async fn record(
        agent: Arc<Agent>,
        intended: Event,
        scope: ScopeRef,
        grant: GrantRef,
    ) -> Result<Arc<Self>, CallError> {
        let intent = agent.record(&intended).await?;
        Ok(Arc::new(Self {
            agent,
            scope,
            intent,
            grant,
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            outcome: OnceLock::new(),
        }))
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

    /// It ended like that. The first to say so is right: what follows is its consequence.
    pub(crate) fn finish(&self, outcome: Outcome) {
        if self.outcome.set(outcome).is_err() {
            return;
        }
        let status = self.status.load(Ordering::Relaxed);
        self.agent.record_soon(&Event::RequestEnded {
            scope: self.scope.clone(),
            intent: self.intent,
            status: (status != 0).then_some(status),
            sent_bytes: self.sent.load(Ordering::Relaxed),
            received_bytes: self.received.load(Ordering::Relaxed),
            outcome,
        });
    }
}

impl Drop for OpenRequest {
    /// Nobody wants the rest: this process ends, or the agent's side is gone. The other ends are told apart
    /// before.
    fn drop(&mut self) {
        let outcome = if self.agent.is_ending() {
            Outcome::BrokerEnded
        } else {
            Outcome::ClosedByAgent
        };
        self.finish(outcome);
    }
}

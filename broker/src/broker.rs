//! All that connections share.

use std::sync::Arc;

use lanyard_node_agent_abi::tag::Tag;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

use crate::{
    agent::Agent,
    frequency::Frequency,
    gathered::Budget,
    interception::{Interception, InterceptionError},
    limits,
    resolver::Families,
    scope::Scope,
    upstream::{Upstreams, roots::Roots},
};

/// Tells who is at the other end of an accepted connection.
pub trait Tags: Send + Sync {
    /// The tag; nothing when the kernel has none.
    fn tag(&self, stream: &TcpStream) -> Option<Tag>;
}

/// The kernel's tags.
#[derive(Debug, Clone, Copy)]
pub struct KernelTags;

impl Tags for KernelTags {
    fn tag(&self, stream: &TcpStream) -> Option<Tag> {
        use std::os::fd::AsFd;
        crate::socket_tag::read(stream.as_fd())
    }
}

/// One scope's broker.
pub struct Broker {
    /// The link to the node agent.
    pub(crate) agent: Arc<Agent>,
    /// Which virtual addresses lead here.
    pub(crate) families: Families,
    /// TLS toward the agent.
    pub(crate) interception: Interception,
    /// The ways to services.
    pub(crate) upstreams: Arc<Upstreams>,
    /// What may be gathered of messages and lists.
    pub(crate) budget: Budget,
    /// Names whose refusal was recorded.
    pub(crate) refused_names: Frequency,
    /// Warnings that were logged.
    pub(crate) warnings: Frequency,
    tags: Box<dyn Tags>,
    scope: watch::Receiver<Arc<Scope>>,
    permits: Arc<Semaphore>,
}

/// Held by each connection for as long as anything of it is left.
#[derive(Debug)]
pub(crate) struct Permit(
    #[expect(dead_code, reason = "given back when it is dropped")] Option<OwnedSemaphorePermit>,
);

impl Broker {
    /// Makes its keys; nothing else is done yet.
    pub fn new(
        agent: Arc<Agent>,
        scope: watch::Receiver<Arc<Scope>>,
        tags: Box<dyn Tags>,
        families: Families,
    ) -> Result<Self, InterceptionError> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        Ok(Self {
            families,
            interception: Interception::new(Arc::clone(&provider))?,
            upstreams: Arc::new(Upstreams::new(
                Roots::new(provider),
                scope.clone(),
                Arc::clone(&agent),
            )),
            agent,
            budget: Budget::default(),
            refused_names: Frequency::default(),
            warnings: Frequency::default(),
            tags,
            scope,
            permits: Arc::new(Semaphore::new(limits::CONNECTIONS as usize)),
        })
    }

    /// To be called when [`crate::server::serve`] was dropped: waits until every connection is gone, and
    /// what became of its requests is with the node agent.
    pub async fn farewell(&self) {
        drop(self.permits.acquire_many(limits::CONNECTIONS).await);
        self.agent.flush().await;
    }

    /// Waits until one connection more is allowed. The semaphore is never closed.
    pub(crate) async fn connection_permit(&self) -> Permit {
        Permit(Arc::clone(&self.permits).acquire_owned().await.ok())
    }

    /// From now on what is dropped ends because this process does.
    pub fn set_ending(&self) {
        self.agent.set_ending();
    }

    /// The scope as it is now.
    pub(crate) fn scope(&self) -> Arc<Scope> {
        Arc::clone(&self.scope.borrow())
    }

    /// The scope as it changes.
    pub(crate) fn watch_scope(&self) -> watch::Receiver<Arc<Scope>> {
        self.scope.clone()
    }

    /// Who is at the other end.
    pub(crate) fn tag(&self, stream: &TcpStream) -> Option<Tag> {
        self.tags.tag(stream)
    }
}

//! Bytes that may be carried under a grant with a limit: leased from the node agent in blocks, so that all
//! requests of all scopes together carry no more, and given back where a request did not need them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use crate::agent::{Agent, CallError};

/// How much is leased at a time. Less is asked for again more often; more keeps others from it meanwhile.
const BLOCK: u64 = 256 << 10;

/// What one request has leased and not used.
#[derive(Debug)]
pub(crate) struct Quota {
    agent: Arc<Agent>,
    grant: String,
    left: AtomicU64,
}

/// Why no more bytes are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsedUp;

impl Quota {
    /// Nothing is leased yet.
    pub(crate) fn new(agent: Arc<Agent>, grant: String) -> Arc<Self> {
        Arc::new(Self {
            agent,
            grant,
            left: AtomicU64::new(0),
        })
    }

    /// Uses so many bytes, if they are there.
    fn try_use(&self, bytes: u64) -> bool {
        let less = |left: u64| left.checked_sub(bytes);
        let used = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        used.is_ok()
    }

    async fn lease(self: Arc<Self>, bytes: u64) -> Result<(), CallError> {
        let leased = self
            .agent
            .lease_bytes(&self.grant, bytes.max(BLOCK))
            .await?;
        self.left.fetch_add(leased, Ordering::Relaxed);
        Ok(())
    }

    /// Uses so many bytes, which are leased if they must be.
    pub(crate) async fn take(self: &Arc<Self>, bytes: usize) -> Result<(), UsedUp> {
        let mut taking = Taking::default();
        std::future::poll_fn(|context| taking.poll(self, bytes, context)).await
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let left = *self.left.get_mut();
        if left > 0 {
            self.agent.return_bytes_soon(&self.grant, left);
        }
    }
}

type Leasing = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send + Sync>>;

/// Waits for bytes, at most one lease at a time.
#[derive(Default)]
pub(crate) struct Taking(Option<Leasing>);

impl Taking {
    /// Ready when so many bytes are used, or there are no more.
    pub(crate) fn poll(
        &mut self,
        quota: &Arc<Quota>,
        bytes: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), UsedUp>> {
        let bytes = bytes as u64;
        let mut has_leased = false;
        loop {
            if quota.try_use(bytes) {
                return Poll::Ready(Ok(()));
            }
            if has_leased {
                // Less came than was asked for: that was the last.
                return Poll::Ready(Err(UsedUp));
            }
            let leasing = self
                .0
                .get_or_insert_with(|| Box::pin(Arc::clone(quota).lease(bytes)));
            let leased = ready!(leasing.as_mut().poll(context));
            self.0 = None;
            if leased.is_err() {
                return Poll::Ready(Err(UsedUp));
            }
            has_leased = true;
        }
    }
}

impl fmt::Debug for Taking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Taking(..)")
    }
}

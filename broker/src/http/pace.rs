//! How a body moves on: counted where its grant has a limit, and not for ever without moving.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use lanyard_protocol::record::Outcome;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use crate::{mcp::listing::ListingError, open_request::OpenRequest, quota::Taking};

/// How long a body may stand still in the middle.
const STILL: Duration = Duration::from_mins(15);

/// Why a body breaks off.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// Its sender broke it off.
    #[error(transparent)]
    Sender(#[from] hyper::Error),
    /// As many bytes as the grant allows were carried.
    #[error("as many bytes as the grant allows were carried")]
    UsedUp,
    /// It may be a list of tools, and cannot be read.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// It stood still for too long.
    #[error("the body stood still for {} minutes", STILL.as_secs() / 60)]
    Still,
}

/// A frame on its way: where its grant has a limit, its bytes are counted before it goes on.
#[derive(Debug, Default)]
pub(super) struct Counting {
    held: Option<Frame<Bytes>>,
    taking: Taking,
}

impl Counting {
    pub(super) fn hold(&mut self, frame: Frame<Bytes>) {
        self.held = Some(frame);
    }

    /// What is held and was not counted yet.
    pub(super) fn take(&mut self) -> Option<Frame<Bytes>> {
        self.held.take()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_none()
    }

    pub(super) fn len(&self) -> usize {
        let data = self.held.as_ref().and_then(Frame::data_ref);
        data.map_or(0, Bytes::len)
    }

    /// The frame that is held, once its bytes are counted; nothing when there is none.
    pub(super) fn poll(
        &mut self,
        open: &OpenRequest,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        if let Some(quota) = &open.quota
            && ready!(self.taking.poll(quota, self.len(), context)).is_err()
        {
            self.held = None;
            open.finish(Outcome::CutByLimit);
            return Poll::Ready(Some(Err(BodyError::UsedUp)));
        }
        Poll::Ready(self.held.take().map(Ok))
    }
}

/// Since when a body stands still.
#[derive(Debug, Default)]
pub(super) struct Still(Option<Pin<Box<Sleep>>>);

impl Still {
    /// Ready when it did so for too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep(STILL)));
        sleep.as_mut().poll(context)
    }

    pub(super) fn moved(&mut self) {
        if let Some(sleep) = &mut self.0 {
            sleep.as_mut().reset(Instant::now() + STILL);
        }
    }
}

pub(super) fn with_more(inner: &SizeHint, more: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(inner.lower() + more);
    if let Some(upper) = inner.upper() {
        hint.set_upper(upper + more);
    }
    hint
}

//! The body of a request, on its way to the service: counted, never gathered. What is short can be said again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderName;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use lanyard_protocol::record::Outcome;
use tokio::sync::oneshot;

use super::{
    headers::prepare_trailers,
    pace::{BodyError, Counting, Still, with_more},
};
use crate::{injection::remove_keys, open_request::OpenRequest};

/// The body of a request, from the agent to the service.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// Nothing, once it was sent.
    inner: Option<Incoming>,
    open: Arc<OpenRequest>,
    still: Still,
    counting: Counting,
    kept: Option<Kept>,
    /// The header that a credential is put into.
    credential: Option<HeaderName>,
}

/// How much of a body may be sent and still be said again.
const KEPT: usize = 64 << 10;

/// What was sent of a body, and who may want it again.
#[derive(Debug)]
struct Kept {
    sent: Vec<Bytes>,
    again: oneshot::Sender<Payload>,
}

impl Kept {
    fn length(&self) -> usize {
        self.sent.iter().map(Bytes::len).sum()
    }
}

/// What a request carries.
#[derive(Debug)]
pub(crate) struct Payload {
    /// What was read of it already.
    first: Bytes,
    /// What follows.
    rest: Option<Incoming>,
}

impl Payload {
    /// What was read of it, and what follows, if anything does.
    pub(crate) fn new(first: Bytes, rest: Option<Incoming>) -> Self {
        let rest = rest.filter(|rest| !rest.is_end_stream());
        Self { first, rest }
    }

    /// The same once more, where it is known as a whole.
    pub(crate) fn again(&self) -> Option<Self> {
        self.rest.is_none().then(|| Self {
            first: self.first.clone(),
            rest: None,
        })
    }
}

impl RequestBody {
    /// Carries that, with a credential put into that header.
    pub(crate) fn new(
        payload: Payload,
        open: Arc<OpenRequest>,
        credential: Option<HeaderName>,
    ) -> Self {
        let mut counting = Counting::default();
        if !payload.first.is_empty() {
            counting.hold(Frame::data(payload.first));
        }
        Self {
            inner: payload.rest,
            open,
            still: Still::default(),
            counting,
            kept: None,
            credential,
        }
    }

    /// Carries that; whoever waits gets it back as it was when it is not carried any more, if not too much of it
    /// was sent.
    pub(crate) fn returned(
        payload: Payload,
        open: Arc<OpenRequest>,
        credential: Option<HeaderName>,
    ) -> (Self, oneshot::Receiver<Payload>) {
        let (again, returned) = oneshot::channel();
        let kept = Kept {
            sent: Vec::new(),
            again,
        };
        let mut body = Self::new(payload, open, credential);
        body.kept = Some(kept);
        (body, returned)
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(kept) = &mut self.kept else { return };
        let data = frame.data_ref();
        let fits = data.is_some_and(|data| kept.length() + data.len() <= KEPT);
        match data.filter(|_| fits) {
            Some(data) => kept.sent.push(data.clone()),
            None => self.kept = None,
        }
    }

    /// What it was before anything of it was sent.
    fn give_back(&mut self) {
        let Some(Kept { mut sent, again }) = self.kept.take() else {
            return;
        };
        match self.counting.take().map(Frame::into_data) {
            Some(Ok(data)) => sent.push(data),
            Some(Err(_)) => return,
            None => {}
        }
        let payload = Payload::new(sent.concat().into(), self.inner.take());
        // Mostly nobody waits for it any more.
        drop(again.send(payload));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(counted) = ready!(self.counting.poll(&self.open, context)) {
            return Poll::Ready(Some(counted.inspect(|frame| {
                self.open.add_sent(frame.data_ref().map_or(0, Bytes::len));
                self.keep(frame);
            })));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = match Pin::new(inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.still.poll(context));
                self.open.break_off(Outcome::ClosedByAgent);
                return Poll::Ready(Some(Err(BodyError::Still)));
            }
        };
        self.still.moved();
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.counting
                    .hold(fit_for_another_hop(frame, self.credential.as_ref()));
                return self.poll(context);
            }
            Some(Err(error)) => {
                self.open.break_off(Outcome::ClosedByAgent);
                Some(Err(error.into()))
            }
            None => {
                self.inner = None;
                None
            }
        })
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.open.set_sent_whole();
        }
        self.give_back();
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.get_mut().poll(context)
    }

    fn is_end_stream(&self) -> bool {
        self.counting.is_empty() && self.inner.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.counting.len() as u64;
        match &self.inner {
            Some(inner) => with_more(&inner.size_hint(), held),
            None => SizeHint::with_exact(held),
        }
    }
}

fn fit_for_another_hop(frame: Frame<Bytes>, credential: Option<&HeaderName>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            prepare_trailers(&mut trailers);
            if let Some(name) = credential {
                remove_keys(&mut trailers, name);
            }
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

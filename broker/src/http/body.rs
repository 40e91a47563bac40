//! Bodies on their way: counted, searched, never gathered.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use lanyard_protocol::record::Outcome;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::{headers::remove_hop_by_hop, reply::scrub_headers};
use crate::{
    mcp::listing::Listing,
    open_request::OpenRequest,
    quota::Taking,
    scrub::{Needles, Scrubber},
    upstream::{Upstreams, service::Service},
};

/// How long a body may stand still in the middle.
const STILL: Duration = Duration::from_mins(15);

/// The body of a request, from the agent to the service.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// Nothing, once it was sent.
    inner: Option<Incoming>,
    open: Arc<OpenRequest>,
    still: Still,
    counting: Counting,
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
    /// Carries that.
    pub(crate) fn new(payload: Payload, open: Arc<OpenRequest>) -> Self {
        let mut counting = Counting::default();
        if !payload.first.is_empty() {
            counting.hold(Frame::data(payload.first));
        }
        Self {
            inner: payload.rest,
            open,
            still: Still::default(),
            counting,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(counted) = ready!(self.counting.poll(&self.open, context)) {
            return Poll::Ready(Some(counted.inspect(|frame| {
                self.open.add_sent(frame.data_ref().map_or(0, Bytes::len));
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
                self.counting.hold(without_hop_by_hop(frame));
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
    }
}

/// Why a body breaks off.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// Its sender broke it off.
    #[error(transparent)]
    Sender(#[from] hyper::Error),
    /// As many bytes as the grant allows were carried.
    #[error("as many bytes as the grant allows were carried")]
    UsedUp,
    /// It stood still for too long.
    #[error("the body stood still for {} minutes", STILL.as_secs() / 60)]
    Still,
}

/// A frame on its way: where its grant has a limit, its bytes are counted before it goes on.
#[derive(Debug, Default)]
struct Counting {
    held: Option<Frame<Bytes>>,
    taking: Taking,
}

impl Counting {
    fn hold(&mut self, frame: Frame<Bytes>) {
        self.held = Some(frame);
    }

    fn is_empty(&self) -> bool {
        self.held.is_none()
    }

    fn len(&self) -> usize {
        let data = self.held.as_ref().and_then(Frame::data_ref);
        data.map_or(0, Bytes::len)
    }

    /// The frame that is held, once its bytes are counted; nothing when there is none.
    fn poll(
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
struct Still(Option<Pin<Box<Sleep>>>);

impl Still {
    /// Ready when it did so for too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep(STILL)));
        sleep.as_mut().poll(context)
    }

    fn moved(&mut self) {
        if let Some(sleep) = &mut self.0 {
            sleep.as_mut().reset(Instant::now() + STILL);
        }
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

/// The body of a reply, to the agent.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// The broker's own.
    Own(Bytes),
    /// From the service.
    Service(Box<ServiceBody>),
}

/// The body of a service's reply.
#[derive(Debug)]
pub(crate) struct ServiceBody {
    inner: Incoming,
    open: Arc<OpenRequest>,
    /// Where the reply may be a list of tools.
    listing: Option<Listing>,
    needles: Option<Needles>,
    scrubber: Option<Scrubber>,
    trailers: Option<HeaderMap>,
    is_read: bool,
    still: Still,
    counting: Counting,
    /// The connection it comes on, and where that goes when it was read.
    service: Option<(Service, Arc<Upstreams>)>,
}

impl ServiceBody {
    /// Carries that body, and masks those needles in it. Its connection goes back when it was read.
    pub(crate) fn new(
        inner: Incoming,
        open: Arc<OpenRequest>,
        needles: Option<Needles>,
        listing: Option<Listing>,
        service: (Service, Arc<Upstreams>),
    ) -> Self {
        let is_read = inner.is_end_stream();
        let mut body = Self {
            inner,
            open,
            listing,
            scrubber: needles.clone().map(Scrubber::new),
            needles,
            trailers: None,
            is_read,
            still: Still::default(),
            counting: Counting::default(),
            service: Some(service),
        };
        if is_read {
            body.set_read();
            body.complete_if_nothing_follows();
        }
        body
    }

    /// A connection whose request is still being sent is of no use to the next one.
    fn set_read(&mut self) {
        self.is_read = true;
        if let Some((service, upstreams)) = self.service.take()
            && self.open.is_sent_whole()
        {
            upstreams.give_back(service);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if let Some(counted) = ready!(self.counting.poll(&self.open, context)) {
                let data = match counted {
                    Ok(frame) => self.take(frame),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                };
                if let Some(data) = data {
                    self.complete_if_nothing_follows();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
            if self.is_read {
                break;
            }
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
                ready!(self.still.poll(context));
                self.open.break_off(Outcome::ClosedByService);
                return Poll::Ready(Some(Err(BodyError::Still)));
            };
            self.still.moved();
            match frame {
                Some(Ok(frame)) => {
                    self.counting.hold(frame);
                    if self.inner.is_end_stream() {
                        self.set_read();
                    }
                }
                Some(Err(error)) => {
                    self.open.break_off(Outcome::ClosedByService);
                    return Poll::Ready(Some(Err(error.into())));
                }
                None => self.set_read(),
            }
        }
        if let Some(mut listing) = self.listing.take() {
            let rest = self.masked(listing.finish());
            if !rest.is_empty() {
                self.complete_if_nothing_follows();
                return Poll::Ready(Some(Ok(Frame::data(rest))));
            }
        }
        let rest = self.scrubber.as_mut().map(Scrubber::finish);
        let rest = rest.filter(|rest| !rest.is_empty()).map(Frame::data);
        let frame = rest.or_else(|| self.trailers.take().map(Frame::trailers));
        self.complete_if_nothing_follows();
        Poll::Ready(frame.map(Ok))
    }

    /// Data that can go on; trailers are kept for the end.
    fn take(&mut self, frame: Frame<Bytes>) -> Option<Bytes> {
        match frame.into_data() {
            Ok(data) => {
                self.open.add_received(data.len());
                let data = match &mut self.listing {
                    Some(listing) => listing.push(data),
                    None => data,
                };
                let data = self.masked(data);
                (!data.is_empty()).then_some(data)
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().ok()?;
                remove_hop_by_hop(&mut trailers);
                if let Some(needles) = &self.needles {
                    scrub_headers(&mut trailers, needles);
                }
                self.trailers = Some(trailers);
                None
            }
        }
    }

    fn masked(&mut self, data: Bytes) -> Bytes {
        match &mut self.scrubber {
            Some(scrubber) => scrubber.push(data),
            None => data,
        }
    }

    fn held(&self) -> usize {
        self.scrubber.as_ref().map_or(0, Scrubber::held)
    }

    fn is_end(&self) -> bool {
        self.is_read
            && self.counting.is_empty()
            && self.listing.is_none()
            && self.held() == 0
            && self.trailers.is_none()
    }

    fn complete_if_nothing_follows(&self) {
        if self.is_end() {
            self.open.finish(Outcome::Completed);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Service(body) => body.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Service(body) => body.is_end(),
        }
    }

    /// Masking changes no length; what is held back is still to come.
    fn size_hint(&self) -> SizeHint {
        let body = match self {
            Self::Own(bytes) => return SizeHint::with_exact(bytes.len() as u64),
            Self::Service(body) => body,
        };
        if body.listing.is_some() {
            // Of a list that is shortened, nothing is known before its end.
            return SizeHint::default();
        }
        let held = (body.held() + body.counting.len()) as u64;
        with_more(&body.inner.size_hint(), held)
    }
}

fn with_more(inner: &SizeHint, more: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(inner.lower() + more);
    if let Some(upper) = inner.upper() {
        hint.set_upper(upper + more);
    }
    hint
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }
}

fn without_hop_by_hop(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            remove_hop_by_hop(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

//! The body of a reply, on its way to the agent: counted, searched, and gathered only where it may be a list of tools.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use lanyard_protocol::record::Outcome;

use super::{
    headers::prepare_trailers,
    pace::{BodyError, Counting, Still, with_more},
    reply::scrub_headers,
};
use crate::{
    mcp::listing::{Listing, ListingError, PIECE},
    open_request::OpenRequest,
    scrub::{Needles, Scrubber},
    upstream::{Upstreams, service::Service},
};

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
    /// What of it was read and has not gone on.
    listed: Bytes,
    /// What goes on first, where that had to be waited for.
    first: Option<Frame<Bytes>>,
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
            listed: Bytes::new(),
            first: None,
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

    /// Waits until a list that goes on as a whole was read: a reply that has begun cannot be refused.
    pub(crate) async fn until_listed(&mut self) -> Result<(), BodyError> {
        if self.listing.as_ref().is_some_and(Listing::is_whole) {
            let first = poll_fn(|context| self.poll(context)).await;
            self.first = first.transpose()?;
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            if let Some(data) = self.next_listed() {
                self.complete_if_nothing_follows();
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(counted) = ready!(self.counting.poll(&self.open, context)) {
                let data = match counted {
                    Ok(frame) => self.take(frame),
                    Err(error) => Err(error),
                };
                let data = match data {
                    Ok(data) => data,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                };
                if let Some(data) = data {
                    self.complete_if_nothing_follows();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                continue;
            }
            if self.is_read {
                let Some(mut listing) = self.listing.take() else {
                    break;
                };
                match listing.finish() {
                    Ok(rest) => self.listed = rest,
                    Err(error) => return Poll::Ready(Some(Err(self.unlisted(error)))),
                }
                continue;
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
        let rest = self.scrubber.as_mut().map(Scrubber::finish);
        let rest = rest.filter(|rest| !rest.is_empty()).map(Frame::data);
        let frame = rest.or_else(|| self.trailers.take().map(Frame::trailers));
        self.complete_if_nothing_follows();
        Poll::Ready(frame.map(Ok))
    }

    /// The next piece of what was read of a list.
    fn next_listed(&mut self) -> Option<Bytes> {
        while !self.listed.is_empty() {
            let piece = self.listed.split_to(self.listed.len().min(PIECE));
            let piece = self.masked(piece);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }

    /// What cannot be read is not carried.
    fn unlisted(&mut self, error: ListingError) -> BodyError {
        self.listing = None;
        self.open.finish(Outcome::ClosedByService);
        error.into()
    }

    /// Data that can go on; trailers are kept for the end.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Option<Bytes>, BodyError> {
        match frame.into_data() {
            Ok(data) => {
                self.open.add_received(data.len());
                if let Some(listing) = &mut self.listing {
                    match listing.push(&data) {
                        Ok(ready) => self.listed = ready,
                        Err(error) => return Err(self.unlisted(error)),
                    }
                    return Ok(None);
                }
                let data = self.masked(data);
                Ok((!data.is_empty()).then_some(data))
            }
            Err(frame) => {
                let Ok(mut trailers) = frame.into_trailers() else {
                    return Ok(None);
                };
                prepare_trailers(&mut trailers);
                if let Some(needles) = &self.needles {
                    scrub_headers(&mut trailers, needles);
                }
                self.trailers = Some(trailers);
                Ok(None)
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
        let first = self.first.as_ref().and_then(Frame::data_ref);
        self.scrubber.as_ref().map_or(0, Scrubber::held)
            + self.listed.len()
            + first.map_or(0, Bytes::len)
    }

    fn is_end(&self) -> bool {
        self.is_read
            && self.counting.is_empty()
            && self.listing.is_none()
            && self.listed.is_empty()
            && self.first.is_none()
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

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }
}

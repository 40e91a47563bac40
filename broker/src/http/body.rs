//! Bodies on their way: counted, searched, never gathered.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use lanyard_protocol::record::Outcome;

use super::{headers::remove_hop_by_hop, reply::scrub_headers};
use crate::{
    open_request::OpenRequest,
    scrub::{Needles, Scrubber},
};

/// The body of a request, from the agent to the service.
#[derive(Debug)]
pub(crate) struct RequestBody {
    inner: Incoming,
    open: Arc<OpenRequest>,
}

impl RequestBody {
    /// Carries that body.
    pub(crate) fn new(inner: Incoming, open: Arc<OpenRequest>) -> Self {
        Self { inner, open }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                self.open.add_sent(frame.data_ref().map_or(0, Bytes::len));
                Some(Ok(without_hop_by_hop(frame)))
            }
            Some(Err(error)) => {
                self.open.finish(Outcome::ClosedByAgent);
                Some(Err(error))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
    needles: Option<Needles>,
    scrubber: Option<Scrubber>,
    trailers: Option<HeaderMap>,
    is_read: bool,
}

impl ServiceBody {
    /// Carries that body, and masks those needles in it.
    pub(crate) fn new(inner: Incoming, open: Arc<OpenRequest>, needles: Option<Needles>) -> Self {
        let is_read = inner.is_end_stream();
        if is_read {
            open.finish(Outcome::Completed);
        }
        Self {
            inner,
            open,
            scrubber: needles.clone().map(Scrubber::new),
            needles,
            trailers: None,
            is_read,
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        while !self.is_read {
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let data = self.take(frame);
                    if self.inner.is_end_stream() {
                        self.is_read = true;
                    }
                    if let Some(data) = data {
                        self.complete_if_nothing_follows();
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => {
                    self.open.finish(Outcome::ClosedByService);
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.is_read = true,
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
                let data = match &mut self.scrubber {
                    Some(scrubber) => scrubber.push(data),
                    None => data,
                };
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

    fn held(&self) -> usize {
        self.scrubber.as_ref().map_or(0, Scrubber::held)
    }

    fn is_end(&self) -> bool {
        self.is_read && self.held() == 0 && self.trailers.is_none()
    }

    fn complete_if_nothing_follows(&self) {
        if self.is_end() {
            self.open.finish(Outcome::Completed);
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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
        let held = body.held() as u64;
        let inner = body.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
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

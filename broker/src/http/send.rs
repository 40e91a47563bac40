//! One request on its way to the service: with its credential, over a connection that works.

mod credential;

use std::{error::Error as _, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, Uri, uri::Authority};
use hyper::body::Incoming;
use lanyard_access::{desired::LiveGrant, grant::Protocol, reason::RefusalReason};
use lanyard_protocol::record::{GrantRef, Outcome};
use tokio::{sync::oneshot, time::timeout};

use super::{
    headers::{Spoken, fit},
    pace::BodyError,
    payload::{Payload, RequestBody},
    refusal::Refusal,
};
use crate::{
    agent::{CallError, ObtainedSecret},
    broker::Broker,
    injection::Injected,
    open_request::OpenRequest,
    scrub::Needles,
    upstream::{
        UpstreamError, Wanted,
        service::{SendError, Service},
    },
};

/// How long a service may take to begin its reply: a model may think for minutes.
const REPLY: Duration = Duration::from_mins(15);

/// How long the body of a request that was not begun may take to come back.
const RETURNED: Duration = Duration::from_secs(1);

type Returned = oneshot::Receiver<Payload>;

/// How many connections that were closed meanwhile are tried before a new one must do.
const STALE: usize = 3;

/// The port that is not written in `Host`.
const HTTPS: u16 = 443;
const HTTP: u16 = 80;

/// A request that is allowed, recorded, and made fit for another hop.
pub(super) struct Prepared {
    pub(super) method: Method,
    /// In origin form.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Payload,
    pub(super) wanted: Wanted,
    pub(super) grant: LiveGrant,
    pub(super) open: Arc<OpenRequest>,
    /// The credential, where it was asked for already.
    pub(super) secret: Option<Result<ObtainedSecret, CallError>>,
    /// The image that asks.
    pub(super) exec_id: u64,
}

/// What came back.
pub(super) struct Replied {
    pub(super) reply: Response<Incoming>,
    pub(super) service: Service,
    pub(super) needles: Option<Needles>,
}

/// The head of a request, which may be said twice.
struct Head {
    method: Method,
    target: Uri,
    headers: HeaderMap,
}

impl Prepared {
    /// Sends it. A credential that the service does not accept is obtained anew once, where the request can
    /// be said again.
    pub(super) async fn send(self, broker: &Broker) -> Result<Replied, Refusal> {
        let Self {
            method,
            target,
            headers,
            body,
            wanted,
            grant,
            open,
            secret,
            exec_id,
        } = self;
        let repeated = body.again().filter(|_| grant.credential.is_some());
        let head = Head {
            method,
            target,
            headers,
        };
        let again = repeated.is_some().then(|| head.clone());
        let sending = Sending {
            broker,
            wanted,
            grant: &grant,
            open: &open,
            exec_id,
        };
        let (replied, version) = sending.attempt(head, body, secret).await?;
        let is_refused = replied.reply.status() == StatusCode::UNAUTHORIZED;
        let Some((again, body)) = again.zip(repeated).filter(|_| is_refused) else {
            return Ok(replied);
        };
        match sending.credential(version, None).await {
            Ok(Some((injected, newer))) if newer != version => {
                let Replied { reply, service, .. } = replied;
                // Its connection is of use again only when its body was read, and nobody reads it.
                drop((reply, service));
                sending.carry(again, body, Some(injected)).await
            }
            // There is no other: the service's own answer says it best.
            Ok(_) | Err(_) => Ok(replied),
        }
    }
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            target: request.uri().clone(),
            headers: request.headers().clone(),
        }
    }

    fn request<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.target;
        *request.headers_mut() = self.headers;
        request
    }
}

/// The request once more, where its body comes back.
async fn said_again(again: Option<(Head, Returned)>) -> Option<(Head, Payload)> {
    let (head, returned) = again?;
    let body = timeout(RETURNED, returned).await.ok()?.ok()?;
    Some((head, body))
}

/// Whether a service says that it did nothing of a request and that it may be sent again, as one does that ends
/// a connection after so many requests (RFC 9113, 6.8 and 8.7). Of the requests on a connection that it goes
/// away from, those that it goes on with do not fail by that.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let is_refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (cause.is_go_away() || is_refused)
    })
}

impl Clone for Head {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
        }
    }
}

struct Sending<'a> {
    broker: &'a Broker,
    wanted: Wanted,
    grant: &'a LiveGrant,
    open: &'a Arc<OpenRequest>,
    exec_id: u64,
}

impl Sending<'_> {
    async fn attempt(
        &self,
        head: Head,
        body: Payload,
        secret: Option<Result<ObtainedSecret, CallError>>,
    ) -> Result<(Replied, u64), Refusal> {
        let (injected, version) = match self.credential(0, secret).await? {
            Some((injected, version)) => (Some(injected), version),
            None => (None, 0),
        };
        Ok((self.carry(head, body, injected).await?, version))
    }

    async fn carry(
        &self,
        head: Head,
        body: Payload,
        injected: Option<Injected>,
    ) -> Result<Replied, Refusal> {
        let name = injected.as_ref().map(Injected::header_name);
        let (body, mut returned) = self.body(body, name.clone());
        let mut request = head.request(body);
        let authority = authority(self.grant);
        let mut attempt = 0;
        loop {
            let mut service = self.service(attempt).await?;
            attempt += 1;
            // Between the decision and here, time has passed.
            if !self.open.is_granted() {
                self.open.finish(Outcome::CutByGrantEnd);
                return Err(Refusal::grant_ended());
            }
            let spoken = Spoken {
                http2: service.speaks_http2(),
                is_encrypted: self.grant.resource.protocol != Protocol::Http,
                authority: &authority,
            };
            let substitution = self.inject(injected.as_ref(), &mut request, spoken.http2)?;
            fit(&mut request, spoken);
            // Over HTTP/1.1 nobody says what became of it.
            let again = returned.take().filter(|_| service.speaks_http2());
            let again = again.map(|returned| (Head::of(&request), returned));
            match timeout(REPLY, service.send(request, substitution)).await {
                Ok(Ok(reply)) => {
                    return Ok(Replied {
                        reply,
                        service,
                        needles: injected.as_ref().map(Injected::needles),
                    });
                }
                // The service closed it while nobody used it; nothing of the request was sent.
                Ok(Err(SendError::Unsent(unsent))) if attempt <= STALE => {
                    request = *unsent;
                    returned = again.map(|(_, returned)| returned);
                }
                Ok(Err(SendError::Unsent(_))) => return Err(self.no_reply("the connection closed")),
                Ok(Err(SendError::Failed(error))) => {
                    let again = again.filter(|_| attempt <= STALE && is_unprocessed(&error));
                    let Some((head, body)) = said_again(again).await else {
                        return Err(self.failed(&error));
                    };
                    let (body, more) = self.body(body, name.clone());
                    returned = more;
                    request = head.request(body);
                }
                Err(_) => return Err(self.no_reply("it took longer than 15 minutes")),
            }
        }
    }

    /// A body, and where it comes back from services that may not begin with it.
    fn body(
        &self,
        payload: Payload,
        credential: Option<HeaderName>,
    ) -> (RequestBody, Option<Returned>) {
        let open = Arc::clone(self.open);
        match self.wanted {
            Wanted::Any {
                client_speaks_http2: true,
            } => {
                let (body, returned) = RequestBody::returned(payload, open, credential);
                (body, Some(returned))
            }
            Wanted::Any { .. } | Wanted::Http1 => {
                (RequestBody::new(payload, open, credential), None)
            }
        }
    }

    async fn service(&self, attempt: usize) -> Result<Service, Refusal> {
        let upstreams = &self.broker.upstreams;
        let connected = if attempt < STALE {
            upstreams.service(self.grant, self.wanted).await
        } else {
            let reference: &GrantRef = &self.open.grant;
            upstreams.connect(self.grant, reference, self.wanted).await
        };
        connected.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &UpstreamError) -> Refusal {
        tracing::debug!(%error, "a service was not reached");
        self.open.break_off(Outcome::ServiceUnreachable);
        if self.open.is_granted() {
            Refusal::service(error.to_string())
        } else {
            Refusal::grant_ended()
        }
    }

    /// A body that broke off is the client's own, or was cut here: the service is not to blame.
    fn failed(&self, error: &hyper::Error) -> Refusal {
        let body = error.source().and_then(|source| source.downcast_ref());
        match body {
            Some(BodyError::UsedUp) => {
                let grant = Some(self.grant.key.clone());
                Refusal::decided(RefusalReason::UsedUp, grant)
            }
            Some(BodyError::Sender(_)) if self.open.is_granted() => Refusal::body_broke_off(),
            Some(BodyError::Sender(_) | BodyError::Still | BodyError::Listing(_)) | None => {
                self.no_reply(&error.to_string())
            }
        }
    }

    fn no_reply(&self, error: &str) -> Refusal {
        tracing::debug!(error, "a service gave no reply");
        self.open.break_off(Outcome::ClosedByService);
        if self.open.is_granted() {
            let host = &self.grant.resource.host;
            Refusal::service(format!("the service at `{host}` gave no reply: {error}"))
        } else {
            Refusal::grant_ended()
        }
    }
}

/// The host as the service knows itself, with its port where that is not the usual one.
fn authority(grant: &LiveGrant) -> Authority {
    let host = &grant.resource.host;
    let port = grant.resource.port.get();
    let usual = match grant.resource.protocol {
        Protocol::Http => HTTP,
        Protocol::Https | Protocol::Mcp | Protocol::Tcp | Protocol::Udp => HTTPS,
    };
    let text = if port == usual {
        host.to_string()
    } else {
        format!("{host}:{port}")
    };
    // A DNS name has no character that an authority may not have.
    Authority::try_from(text).unwrap_or_else(|_| Authority::from_static("invalid"))
}

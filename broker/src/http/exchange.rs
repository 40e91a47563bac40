//! One request after another of one connection: decided, recorded, given its credential, carried.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::{HeaderValue, Request, Response, Version};
use hyper::body::Incoming;
use lanyard_access::{
    decide::{Decision, Request as Asked, decide},
    desired::LiveGrant,
    grant::Protocol,
    host::{DnsName, Host},
    reason::RefusalReason,
};
use lanyard_protocol::record::{self, Event, GrantRef, Outcome};
use tokio::sync::watch;

use super::{
    body::{ReplyBody, RequestBody, ServiceBody},
    headers::{Outgoing, prepare_request},
    refusal::Refusal,
    reply,
    request::{RequestError, Target, check},
};
use crate::{
    broker::Broker,
    clock,
    connection::Client,
    credential::Bearer,
    deadline,
    open_request::OpenRequest,
    scope,
    scrub::Needles,
    upstream::{self, Upstream},
};

/// The port that is not written in `Host`.
const HTTPS: u16 = 443;

/// A connection of the agent to one name.
pub(super) struct Exchange {
    broker: Arc<Broker>,
    client: Client,
    name: DnsName,
    /// The connection to the service, while no request uses it.
    upstream: Mutex<Option<Upstream>>,
    /// Whether what is open was cut.
    cut: watch::Sender<bool>,
    /// The last request that was allowed, and its grant.
    bound: watch::Sender<Option<Bound>>,
}

#[derive(Clone)]
struct Bound {
    grant: GrantRef,
    request: Weak<OpenRequest>,
}

impl Exchange {
    pub(super) fn new(broker: Arc<Broker>, client: Client, name: DnsName) -> Self {
        Self {
            broker,
            client,
            name,
            upstream: Mutex::new(None),
            cut: watch::Sender::new(false),
            bound: watch::Sender::new(None),
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        match self.carry(request).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        }
    }

    /// Returns when the grant that the connection was last used under ends.
    pub(super) async fn grant_ended(&self) {
        let mut bound = self.bound.subscribe();
        let mut scope = self.broker.watch_scope();
        loop {
            let grant = bound
                .borrow_and_update()
                .as_ref()
                .map(|bound| bound.grant.clone());
            let ended = async {
                match grant {
                    Some(grant) => deadline::ended(&mut scope, &grant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = ended => return,
                result = bound.changed() => if result.is_err() { return },
            }
        }
    }

    /// Ends what is open, on both sides.
    pub(super) fn cut(&self) {
        let request = self
            .bound
            .borrow()
            .as_ref()
            .and_then(|bound| bound.request.upgrade());
        if let Some(request) = request {
            request.finish(Outcome::CutByGrantEnd);
        }
        self.cut.send_replace(true);
    }

    async fn carry(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, Refusal> {
        let (head, body) = request.into_parts();
        let target = match check(&head, &self.name, self.client.port) {
            Ok(target) => target,
            Err(error) => return Err(self.refuse_request(&head, &error).await),
        };
        let grant = match self.decide() {
            Ok(grant) => grant,
            Err(reason) => return Err(self.refuse(target.record, reason).await),
        };
        let open = self.open(&target, &grant).await?;
        let (authorization, needles) = self.credential(&grant, &open).await?;
        let mut headers = head.headers;
        prepare_request(
            &mut headers,
            Outgoing {
                host: self.host(),
                authorization,
            },
        );
        let mut outgoing = Request::new(RequestBody::new(body, Arc::clone(&open)));
        *outgoing.method_mut() = head.method;
        *outgoing.uri_mut() = target.uri;
        *outgoing.version_mut() = Version::HTTP_11;
        *outgoing.headers_mut() = headers;
        let reply = self.send(outgoing, &grant, &open).await?;
        self.reply(reply, open, needles)
    }

    fn decide(&self) -> Result<LiveGrant, RefusalReason> {
        let scope = self.broker.scope();
        let asked = Asked {
            level: self.client.level,
            host: &Host::Name(self.name.clone()),
            port: self.client.port,
            protocol: Protocol::Https,
        };
        match decide(&scope.agent, &asked, clock::boot_now()) {
            Decision::Allow(grant) => Ok(grant.clone()),
            Decision::Refuse(reason) => Err(reason),
        }
    }

    /// Records the intent. Nothing is done before that is written.
    async fn open(&self, target: &Target, grant: &LiveGrant) -> Result<Arc<OpenRequest>, Refusal> {
        let scope = self.broker.scope().reference.clone();
        let grant_ref = scope::reference(grant);
        let intended = Event::RequestIntended {
            scope: scope.clone(),
            process: self.client.process.clone(),
            request: target.record.clone(),
            grant: grant_ref.clone(),
            credential: grant.credential.clone(),
        };
        // A task of its own: should the client go away while this is written, its end is written too.
        let opened = tokio::spawn(OpenRequest::record(
            Arc::clone(&self.broker.agent),
            intended,
            scope,
            grant_ref.clone(),
        ));
        let open = match opened.await {
            Ok(Ok(open)) => open,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a request was refused, for it could not be recorded");
                return Err(Refusal::not_recorded());
            }
            Err(_) => return Err(Refusal::not_recorded()),
        };
        self.bound.send_replace(Some(Bound {
            grant: grant_ref,
            request: Arc::downgrade(&open),
        }));
        Ok(open)
    }

    async fn credential(
        &self,
        grant: &LiveGrant,
        open: &OpenRequest,
    ) -> Result<(Option<HeaderValue>, Option<Needles>), Refusal> {
        if grant.credential.is_none() {
            return Ok((None, None));
        }
        let unavailable = |error: &dyn std::error::Error| {
            tracing::warn!(grant = %grant.key, %error, "no credential");
            open.finish(Outcome::CredentialUnavailable);
            Refusal::no_credential()
        };
        let exec_id = self.client.process.exec_id;
        let secret = self
            .broker
            .agent
            .secret(grant.key.to_string(), exec_id)
            .await;
        let secret = secret.map_err(|error| unavailable(&error))?;
        let bearer = Bearer::new(&secret).map_err(|error| unavailable(&error))?;
        let (authorization, needles) = bearer.into_parts();
        Ok((Some(authorization), Some(needles)))
    }

    async fn send(
        &self,
        mut request: Request<RequestBody>,
        grant: &LiveGrant,
        open: &OpenRequest,
    ) -> Result<Response<Incoming>, Refusal> {
        let mut kept = self.take_upstream().filter(|kept| kept.grant == open.grant);
        loop {
            let is_kept = kept.is_some();
            let mut upstream = match kept.take() {
                Some(upstream) => upstream,
                None => self.connect(grant, open).await?,
            };
            // Between the decision and here, time has passed.
            if !self.broker.scope().holds(&open.grant, clock::boot_now()) {
                open.finish(Outcome::CutByGrantEnd);
                return Err(Refusal::grant_ended());
            }
            match upstream.sender.try_send_request(request).await {
                Ok(reply) => {
                    self.keep_upstream(upstream);
                    return Ok(reply);
                }
                Err(mut error) => match error.take_message() {
                    // The service closed it while nobody used it; nothing of the request was sent.
                    Some(unsent) if is_kept => request = unsent,
                    Some(_) | None => {
                        let error = error.into_error();
                        tracing::debug!(%error, "a service gave no reply");
                        open.finish(Outcome::ClosedByService);
                        let detail = format!(
                            "the service at `{}` closed the connection without a reply",
                            self.name
                        );
                        return Err(Refusal::service(detail));
                    }
                },
            }
        }
    }

    async fn connect(&self, grant: &LiveGrant, open: &OpenRequest) -> Result<Upstream, Refusal> {
        let connected =
            upstream::connect(&self.broker.roots, &self.name, grant, self.cut.subscribe()).await;
        connected.map_err(|error| {
            tracing::debug!(%error, "a service was not reached");
            open.finish(Outcome::ServiceUnreachable);
            Refusal::service(error.to_string())
        })
    }

    fn reply(
        &self,
        reply: Response<Incoming>,
        open: Arc<OpenRequest>,
        needles: Option<Needles>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let (head, body) = reply.into_parts();
        open.set_status(head.status.as_u16());
        let mut headers = head.headers;
        if let Err(error) = reply::prepare(head.status, &mut headers, needles.as_ref()) {
            open.finish(Outcome::ClosedByService);
            drop(self.take_upstream());
            return Err(Refusal::service(error.to_string()));
        }
        let body = ReplyBody::Service(Box::new(ServiceBody::new(body, open, needles)));
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn refuse(&self, request: record::Request, reason: RefusalReason) -> Refusal {
        let refused = Event::RequestRefused {
            scope: self.broker.scope().reference.clone(),
            process: self.client.process.clone(),
            request,
            reason,
        };
        // Written before it is answered, so that `explain --last` finds it.
        if let Err(error) = self.broker.agent.record(&refused).await {
            tracing::warn!(%error, "a refusal could not be recorded");
        }
        Refusal::decided(reason)
    }

    async fn refuse_request(&self, head: &http::request::Parts, error: &RequestError) -> Refusal {
        let (host, reason) = match error {
            RequestError::OtherHost { asked, .. } => (asked.clone(), RefusalReason::HostMismatch),
            RequestError::OtherPort(_) => {
                (Host::Name(self.name.clone()), RefusalReason::HostMismatch)
            }
            RequestError::Method(_)
            | RequestError::Upgrade
            | RequestError::TransferCoding
            | RequestError::HostCount
            | RequestError::HostSyntax
            | RequestError::Target => (Host::Name(self.name.clone()), RefusalReason::NotCarried),
        };
        let request = record::Request {
            method: head.method.to_string(),
            host,
            port: self.client.port.get(),
            path: head.uri.path().to_owned(),
        };
        self.refuse(request, reason).await;
        Refusal::from(error)
    }

    fn host(&self) -> HeaderValue {
        let name = self.name.as_str();
        let port = self.client.port.get();
        let host = if port == HTTPS {
            HeaderValue::from_str(name)
        } else {
            HeaderValue::from_str(&format!("{name}:{port}"))
        };
        // A DNS name has no character that a header may not have.
        host.unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn take_upstream(&self) -> Option<Upstream> {
        self.upstream
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(|upstream| !upstream.sender.is_closed())
    }

    fn keep_upstream(&self, upstream: Upstream) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
    }
}

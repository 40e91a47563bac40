//! One request after another of one connection: decided, recorded, given its credential, carried.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    request,
};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use lanyard_access::{
    desired::LiveGrant, grant::Protocol, host::Host, mcp::McpRule, object::ObjectKey,
    reason::RefusalReason,
};
use lanyard_protocol::record::{self, Event, GrantRef, Outcome};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Wire,
    body::{ReplyBody, ServiceBody},
    decision,
    headers::{prepare_request, remove_overrides},
    message::{self, Said},
    payload::Payload,
    refusal::Refusal,
    reply::{self, ReplyError},
    request::{RequestError, Target, check},
    send::{Prepared, Replied},
    tunnel::Tunnel,
    unfinished::Unfinished,
};
use crate::{
    agent::CallError,
    broker::Broker,
    deadline,
    mcp::listing::{Form, Listing},
    open_request::{OpenRequest, Opened},
    scope,
    upstream::Wanted,
};

/// A connection of the agent to one name.
pub(super) struct Exchange {
    broker: Arc<Broker>,
    wire: Wire,
    /// The grants it is used under; of HTTP/1.1, that of the last request.
    used: watch::Sender<BTreeSet<GrantRef>>,
    unfinished: Unfinished,
    /// What follows a change of protocol.
    tunnel: Mutex<Option<Tunnel>>,
    /// How many requests are under way, and when that last changed.
    open: AtomicUsize,
    last: Mutex<Instant>,
}

impl Exchange {
    pub(super) fn new(broker: Arc<Broker>, wire: Wire) -> Self {
        Self {
            broker,
            wire,
            used: watch::Sender::default(),
            unfinished: Unfinished::default(),
            tunnel: Mutex::default(),
            open: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let _busy = Busy::new(self);
        match self.carry(request).await {
            Ok(response) => response,
            Err(refusal) => refusal.response(),
        }
    }

    /// Returns when every grant that the connection was used under has ended, or one has that a request outlasts.
    pub(super) async fn grants_ended(&self) {
        tokio::select! {
            () = self.all_ended() => {}
            () = self.unfinished.outlast_their_grant(self.broker.watch_scope()) => {}
        }
    }

    async fn all_ended(&self) {
        let mut used = self.used.subscribe();
        let mut scope = self.broker.watch_scope();
        loop {
            let grants = used.borrow_and_update().clone();
            let ended = async {
                for grant in &grants {
                    deadline::ended(&mut scope, grant).await;
                }
                if grants.is_empty() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = ended => return,
                result = used.changed() => if result.is_err() { return },
            }
        }
    }

    /// Returns when no request was under way for so long.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let is_busy = self.open.load(Ordering::Relaxed) > 0;
            if !is_busy && last.elapsed() >= limit {
                return;
            }
            let from = if is_busy { Instant::now() } else { last };
            sleep_until(from + limit).await;
        }
    }

    /// What follows a change of protocol, if one was agreed on.
    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn carry(&self, request: Request<Incoming>) -> Result<Response<ReplyBody>, Refusal> {
        let (mut head, body) = request.into_parts();
        let Wire {
            client,
            name,
            is_encrypted,
            ..
        } = &self.wire;
        let target = match check(&head, name, client.port, *is_encrypted) {
            Ok(target) => target,
            Err(error) => return Err(self.refuse_request(&head, &error).await),
        };
        // Before it is read and decided: what is not carried on counts for nothing.
        prepare_request(&mut head.headers, target.upgrade.clone());
        let (said, body) = if decision::reads_messages(&self.broker, &self.wire) {
            message::read(&head, body, &self.broker.budget).await?
        } else {
            (Said::Unread, Payload::new(Bytes::new(), Some(body)))
        };
        let mut target = target;
        target.record.mcp = said.call();
        let grant = match decision::decide(&self.broker, &self.wire, &head, &target, said.asked()) {
            Ok(grant) => grant,
            Err(refused) => {
                let mut refusal = self
                    .refuse(target.record, refused.reason, refused.grant)
                    .await;
                refusal.says(refused.message);
                refusal.rpc = said.id().map(Box::from);
                return Err(refusal);
            }
        };
        if grant.resource.protocol == Protocol::Mcp && target.upgrade.is_some() {
            return Err(self.refuse_request(&head, &RequestError::Upgrade).await);
        }
        if grant.resource.protocol == Protocol::Mcp || !grant.resource.http.is_empty() {
            remove_overrides(&mut head.headers);
        }
        let shown = (grant.resource.protocol == Protocol::Mcp
            && grant.resource.mcp.tools.is_some())
        .then(|| (grant.resource.mcp.clone(), said.is_listing()));
        if shown.is_some() {
            // A list that is encoded could not be shortened.
            let plain = HeaderValue::from_static("identity");
            head.headers.insert(ACCEPT_ENCODING, plain);
        }
        let Opened { open, secret } = self.open(&target, &grant).await?;
        let agent = target
            .upgrade
            .as_ref()
            .and_then(|_| head.extensions.remove::<OnUpgrade>());
        let wanted = if agent.is_some() {
            Wanted::Http1
        } else {
            Wanted::Any {
                client_speaks_http2: head.version == Version::HTTP_2,
            }
        };
        let prepared = Prepared {
            method: head.method,
            target: target.uri,
            headers: head.headers,
            body,
            wanted,
            grant,
            open: Arc::clone(&open),
            secret,
            exec_id: client.process.exec_id,
        };
        let replied = prepared.send(&self.broker).await?;
        self.reply(replied, open, agent, shown).await
    }

    /// Records the intent. Nothing is done before that is written.
    async fn open(&self, target: &Target, grant: &LiveGrant) -> Result<Opened, Refusal> {
        let grant_ref = scope::reference(grant);
        let credential = grant.credential.as_ref();
        let intended = Event::RequestIntended {
            scope: self.broker.scope().reference.clone(),
            process: self.wire.client.process.clone(),
            request: target.record.clone(),
            grant: grant_ref.clone(),
            credential: credential.map(|credential| credential.source.clone()),
        };
        // A task of its own: should the client go away while this is written, its end is written too.
        let opened = tokio::spawn(OpenRequest::record(
            Arc::clone(&self.broker.agent),
            intended,
            self.broker.watch_scope(),
            grant_ref.clone(),
            grant.limits,
            credential.map(|_| self.wire.client.process.exec_id),
        ));
        let opened = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(CallError::UsedUp)) => {
                let grant = Some(grant_ref.key);
                return Err(self
                    .refuse(target.record.clone(), RefusalReason::UsedUp, grant)
                    .await);
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a request was refused, for it could not be recorded");
                return Err(Refusal::not_recorded());
            }
            Err(_) => return Err(Refusal::not_recorded()),
        };
        self.unfinished.add(&opened.open);
        self.used.send_if_modified(|used| {
            if used.contains(&grant_ref) {
                return false;
            }
            if !self.wire.http2 {
                used.clear();
            }
            used.insert(grant_ref)
        });
        Ok(opened)
    }

    async fn reply(
        &self,
        replied: Replied,
        open: Arc<OpenRequest>,
        agent: Option<OnUpgrade>,
        shown: Option<(McpRule, bool)>,
    ) -> Result<Response<ReplyBody>, Refusal> {
        let Replied {
            mut reply,
            service,
            needles,
        } = replied;
        open.set_status(reply.status().as_u16());
        let changes_to = agent.is_some();
        let prepared = reply::prepare(&mut reply, needles.as_ref(), changes_to);
        if let Err(error) = prepared {
            open.finish(Outcome::ClosedByService);
            return Err(Refusal::service(error.to_string()));
        }
        if reply.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(agent) = agent
        {
            let tunnel = Tunnel {
                broker: Arc::clone(&self.broker),
                open,
                agent,
                service: hyper::upgrade::on(&mut reply),
                upstream: service,
                needles,
            };
            *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
            // Above all the reason phrase, which nobody searched.
            reply.extensions_mut().clear();
            return Ok(reply.map(|_| ReplyBody::from(Bytes::new())));
        }
        let upstreams = Arc::clone(&self.broker.upstreams);
        let (mut head, body) = reply.into_parts();
        head.version = Version::default();
        head.extensions.clear();
        let listing = shown.and_then(|(rule, is_listing)| {
            let form = form(&head, is_listing)?;
            head.headers.remove(CONTENT_LENGTH);
            Some(Listing::new(rule, form, self.broker.budget.clone()))
        });
        if listing.is_some() && reply::is_encoded(&head.headers) {
            open.finish(Outcome::ClosedByService);
            return Err(Refusal::service(ReplyError::Encoded.to_string()));
        }
        let mut body = ServiceBody::new(body, open, needles, listing, (service, upstreams));
        body.until_listed().await.map_err(Refusal::from)?;
        let body = ReplyBody::Service(Box::new(body));
        Ok(Response::from_parts(head, body))
    }

    async fn refuse(
        &self,
        request: record::Request,
        reason: RefusalReason,
        grant: Option<ObjectKey>,
    ) -> Refusal {
        let mut refusal = Refusal::decided(reason, grant);
        refusal.asks_for(reason, &request);
        let refused = Event::RequestRefused {
            scope: self.broker.scope().reference.clone(),
            process: self.wire.client.process.clone(),
            request,
            reason,
        };
        // Written before it is answered, so that `explain --last` finds it.
        if let Err(error) = self.broker.agent.record(&refused).await {
            tracing::warn!(%error, "a refusal could not be recorded");
        }
        refusal
    }

    async fn refuse_request(&self, head: &request::Parts, error: &RequestError) -> Refusal {
        let own = || Host::Name(self.wire.name.clone());
        let (host, reason) = match error {
            RequestError::OtherHost { asked, .. } => (asked.clone(), RefusalReason::HostMismatch),
            RequestError::OtherPort(_) => (own(), RefusalReason::HostMismatch),
            RequestError::Method(_)
            | RequestError::Headers
            | RequestError::TransferCoding
            | RequestError::HostCount
            | RequestError::HostSyntax
            | RequestError::Target
            | RequestError::Upgrade => (own(), RefusalReason::NotCarried),
        };
        let request = record::Request {
            method: head.method.to_string(),
            host,
            port: self.wire.client.port.get(),
            path: head.uri.path().to_owned(),
            mcp: None,
        };
        self.refuse(request, reason, None).await;
        Refusal::from(error)
    }
}

/// Where a list of tools may be in a reply: any event may have one, a single text where it was asked for.
fn form(head: &http::response::Parts, is_listing: bool) -> Option<Form> {
    let media = head.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media = media.split(';').next()?.trim();
    if media.eq_ignore_ascii_case("text/event-stream") {
        return Some(Form::Events);
    }
    (is_listing && media.eq_ignore_ascii_case("application/json")).then_some(Form::Whole)
}

/// A request is under way for as long as its reply is not begun; what is then carried keeps the connection by
/// itself.
struct Busy<'a>(&'a Exchange);

impl<'a> Busy<'a> {
    fn new(exchange: &'a Exchange) -> Self {
        exchange.open.fetch_add(1, Ordering::Relaxed);
        Self(exchange)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

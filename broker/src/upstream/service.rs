//! One connection to a service under one grant: requests go in, and it ends with the grant.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lanyard_access::host::DnsName;
use lanyard_protocol::record::GrantRef;
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    UpstreamError,
    connect::{Established, ServiceStream},
    substitution::{Substituting, Substitution, Substitutions},
};
use crate::{clock, deadline, http::payload::RequestBody, limits, scope::Scope, socket::Cut};

/// A way to send one request at a time (HTTP/1.1), or this one of several (HTTP/2).
#[derive(Debug)]
pub(crate) struct Service {
    /// The grant that allowed it; requests under another do not use it.
    pub(crate) grant: GrantRef,
    /// What ends its connection at once.
    pub(crate) cut: Cut,
    sender: Sender,
    /// Counts it among those that use its connection, if it does.
    _open: Option<Open>,
    connection: Arc<Connection>,
}

/// How long a connection may still be busy with its last request, whose reply is over: a service may answer before
/// it has read it all, and never read the rest.
const READY: Duration = Duration::from_secs(1);

/// Why a request has no reply.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection was closed before it was used; nothing of the request went out.
    Unsent(Box<Request<RequestBody>>),
    /// It broke off.
    Failed(hyper::Error),
}

/// One of the requests that use a connection.
#[derive(Debug)]
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends requests.
#[derive(Debug)]
enum Sender {
    /// HTTP/1.1.
    One(http1::SendRequest<RequestBody>, Substitutions),
    /// HTTP/2.
    Many(http2::SendRequest<RequestBody>, Arc<AtomicUsize>),
}

/// What carries the connection. When its last user is gone, it is too.
#[derive(Debug)]
struct Connection {
    task: AbortHandle,
    grant: GrantRef,
    scope: watch::Receiver<Arc<Scope>>,
    cut: Cut,
}

impl Drop for Connection {
    /// Its user may have heard of the grant's end first.
    fn drop(&mut self) {
        if !self.scope.borrow().holds(&self.grant, clock::boot_now()) {
            self.cut.cut();
        }
        self.task.abort();
    }
}

/// Speaks HTTP on a connection.
pub(super) async fn start(
    established: Established,
    name: &DnsName,
    grant: &GrantRef,
    scope: watch::Receiver<Arc<Scope>>,
) -> Result<Service, UpstreamError> {
    let failed = |error| UpstreamError::Http(name.clone(), error);
    let Established { stream, http2, cut } = established;
    let (sender, task) = if http2 {
        let handshake = http2_builder().handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(failed)?;
        let task = carry(connection, scope.clone(), grant.clone(), cut.clone());
        (Sender::Many(sender, Arc::default()), tokio::spawn(task))
    } else {
        let substitutions = Substitutions::default();
        let stream = TokioIo::new(Substituting::new(stream, substitutions.clone()));
        let (sender, connection) = http1_handshake(stream).await.map_err(failed)?;
        let connection = connection.with_upgrades();
        let task = carry(connection, scope.clone(), grant.clone(), cut.clone());
        (Sender::One(sender, substitutions), tokio::spawn(task))
    };
    Ok(Service {
        grant: grant.clone(),
        cut: cut.clone(),
        sender,
        _open: None,
        connection: Arc::new(Connection {
            task: task.abort_handle(),
            grant: grant.clone(),
            scope,
            cut,
        }),
    })
}

type Http1 = (
    http1::SendRequest<RequestBody>,
    http1::Connection<TokioIo<Substituting<ServiceStream>>, RequestBody>,
);

async fn http1_handshake(stream: TokioIo<Substituting<ServiceStream>>) -> hyper::Result<Http1> {
    http1::Builder::new()
        .max_headers(limits::HEADERS)
        .max_header_size(limits::HEADER_BYTES)
        .max_buf_size(limits::BUFFER_BYTES)
        .handshake(stream)
        .await
}

fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::SHARED_WINDOW)
        .max_send_buf_size(limits::SEND_BUFFER)
        .max_header_list_size(limits::HEADER_LIST)
        // A service that is gone without a word is found out.
        .keep_alive_interval(limits::PING)
        .keep_alive_timeout(limits::PONG);
    builder
}

async fn carry(
    connection: impl Future<Output = hyper::Result<()>>,
    mut scope: watch::Receiver<Arc<Scope>>,
    grant: GrantRef,
    cut: Cut,
) {
    // Dropped after it is cut: closed before, it would end as if all was well.
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        () = deadline::ended(&mut scope, &grant) => cut.cut(),
        result = &mut connection => {
            if let Err(error) = result {
                tracing::debug!(%error, "the connection to a service ended");
            }
        }
    }
}

/// Whether a connection is done with its last request within [`READY`].
async fn is_ready_soon<B: Body + 'static>(sender: &mut http1::SendRequest<B>) -> bool {
    matches!(timeout(READY, sender.ready()).await, Ok(Ok(())))
}

impl Service {
    /// Whether it is HTTP/2.
    pub(crate) const fn speaks_http2(&self) -> bool {
        matches!(self.sender, Sender::Many(..))
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::One(sender, _) => sender.is_closed(),
            Sender::Many(sender, _) => sender.is_closed(),
        }
    }

    /// How many requests use its connection, and how many could.
    pub(super) fn load(&self) -> (usize, usize) {
        match &self.sender {
            Sender::One(..) => (0, 1),
            Sender::Many(_, open) => (open.load(Ordering::Relaxed), limits::SHARED),
        }
    }

    /// Another way over the same connection, where it takes several.
    pub(super) fn another(&self) -> Option<Self> {
        match &self.sender {
            Sender::One(..) => None,
            Sender::Many(sender, count) => Some(Self {
                grant: self.grant.clone(),
                cut: self.cut.clone(),
                sender: Sender::Many(sender.clone(), Arc::clone(count)),
                _open: Some(Open::new(count)),
                connection: Arc::clone(&self.connection),
            }),
        }
    }

    /// Sends one request. It comes back unsent when the connection was closed before it was used. A secret takes
    /// the place of its stand-in, which it can over HTTP/1.1 alone.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
        substitution: Option<Substitution>,
    ) -> Result<Response<Incoming>, SendError> {
        let sent = match &mut self.sender {
            Sender::One(sender, substitutions) => {
                if !is_ready_soon(sender).await {
                    return Err(SendError::Unsent(Box::new(request)));
                }
                // Nothing else is written from here to the head: the connection waits for a request.
                let _announced =
                    substitution.map(|substitution| substitutions.announce(substitution));
                sender.try_send_request(request).await
            }
            Sender::Many(sender, _) => match sender.ready().await {
                Ok(()) => sender.try_send_request(request).await,
                Err(_) => return Err(SendError::Unsent(Box::new(request))),
            },
        };
        sent.map_err(|mut error| match error.take_message() {
            Some(unsent) => SendError::Unsent(Box::new(unsent)),
            None => SendError::Failed(error.into_error()),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const ROOM: usize = 1 << 10;
    const HEAD: usize = "POST / HTTP/1.1\r\ncontent-length: 16384\r\n\r\n".len();
    const BODY: usize = 16384;

    /// A connection whose reply is over, and the service, which has read so much of the request before it answered.
    async fn answered(read: usize) -> (http1::SendRequest<Full<Bytes>>, DuplexStream) {
        let (ours, mut service) = duplex(ROOM);
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        tokio::spawn(connection);
        let body = Full::new(Bytes::from(vec![b'x'; BODY]));
        let request = Request::post("/").body(body).unwrap();
        let answering = async {
            let mut arrived = Vec::new();
            while arrived.len() < read {
                service.read_buf(&mut arrived).await.unwrap();
            }
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            service.write_all(reply).await.unwrap();
        };
        let (reply, ()) = tokio::join!(sender.send_request(request), answering);
        let body = reply.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "ok");
        (sender, service)
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_answers_before_it_read_keeps_nobody_waiting() {
        let (mut sender, _service) = answered(1).await;
        assert!(!is_ready_soon(&mut sender).await);
        let (mut sender, _service) = answered(HEAD + BODY).await;
        assert!(is_ready_soon(&mut sender).await);
    }
}

//! Serves nodes: mutual TLS, one stream each, and no queue that grows.

use std::{io, pin::Pin, sync::Arc, task, time::Duration};

use futures_util::{Stream, StreamExt as _};
use lanyard_access::{object::ObjectName, spiffe_id::TrustDomain};
use lanyard_protocol::{
    NODES_PROTOCOL,
    nodes::{
        FromNode, Hello, ToNode,
        wire::{
            self,
            nodes_server::{Nodes, NodesServer},
        },
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore, mpsc},
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Server, server::Connected},
};
use tracing::{debug, info};

use super::{
    hub::Hub,
    metrics::count,
    tls::{Tls, node_of_certificate},
};

/// How often a node hears something.
pub const BEAT: Duration = Duration::from_secs(3);
/// How long a node may leave a message unread.
const UNREAD: Duration = Duration::from_secs(30);
/// How long a handshake or a first message may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many handshakes there are at once.
const HANDSHAKES: usize = 256;
/// The longest message of a node.
const LONGEST: usize = 64 << 10;

/// The service.
#[derive(Debug, Clone)]
pub struct Service {
    hub: Arc<Hub>,
    beat: Duration,
    unread: Duration,
}

impl Service {
    /// For the nodes of what `hub` knows.
    pub const fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            beat: BEAT,
            unread: UNREAD,
        }
    }

    /// What it serves from.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// With another rhythm than [`BEAT`], and less patience with those who do not read.
    #[must_use]
    pub const fn with_rhythm(mut self, beat: Duration, unread: Duration) -> Self {
        self.beat = beat;
        self.unread = unread;
        self
    }
}

type Told = Result<wire::ToNode, Status>;

#[tonic::async_trait]
impl Nodes for Service {
    type FollowStream = ReceiverStream<Told>;

    async fn follow(
        &self,
        request: Request<Streaming<wire::FromNode>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let node = request.extensions().get::<NodeName>().cloned();
        let NodeName(node) = node.ok_or_else(|| Status::unauthenticated("no node"))?;
        let mut incoming = request.into_inner();
        let hello = first(&mut incoming).await?;
        let (session, waker) = self.begin(&node, &hello)?;
        info!(
            node = node.as_str(),
            version = hello.version,
            "a node follows"
        );
        count(&self.hub.counters.streams);
        let (sender, receiver) = mpsc::channel(1);
        let stream = NodeStream {
            service: self.clone(),
            node,
            session,
            waker,
            sender,
        };
        tokio::spawn(stream.run(incoming));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl Service {
    fn begin(&self, node: &ObjectName, hello: &Hello) -> Result<(u64, Arc<Notify>), Status> {
        let now = self.hub.now().steady;
        let session = {
            let mut state = self.hub.state();
            if !state.is_complete() {
                return Err(Status::unavailable("not everything is known here yet"));
            }
            // What nodes acknowledge has to reach the one replica that writes status.
            if state.election.other_leads(now) {
                return Err(Status::unavailable("another replica leads"));
            }
            state.hello(node, hello)
        };
        Ok((session, self.hub.new_waker_of(node)))
    }
}

async fn first(incoming: &mut Streaming<wire::FromNode>) -> Result<Hello, Status> {
    let message = timeout(PATIENCE, incoming.message()).await;
    let message = message.map_err(|_| Status::deadline_exceeded("no first message"))??;
    let message = message.ok_or_else(|| Status::invalid_argument("no first message"))?;
    match FromNode::decode(message) {
        Ok(FromNode::Hello(hello)) if hello.protocol == NODES_PROTOCOL => Ok(hello),
        Ok(FromNode::Hello(hello)) => Err(Status::failed_precondition(format!(
            "the node agent speaks protocol {}, this operator {NODES_PROTOCOL}",
            hello.protocol
        ))),
        Ok(FromNode::Acknowledged(_) | FromNode::Refused { .. }) => {
            Err(Status::invalid_argument("the first message is no Hello"))
        }
        Err(error) => Err(Status::invalid_argument(error.to_string())),
    }
}

struct NodeStream {
    service: Service,
    node: ObjectName,
    session: u64,
    waker: Arc<Notify>,
    sender: mpsc::Sender<Told>,
}

impl NodeStream {
    async fn run(self, mut incoming: Streaming<wire::FromNode>) {
        let hub = self.service.hub.clone();
        let end = self.talk(&hub, &mut incoming).await;
        hub.state().followers.bye(&self.node, self.session);
        debug!(
            node = self.node.as_str(),
            reason = end.message(),
            "a node follows no longer"
        );
        // Who does not read does not read this either.
        let _ = self.sender.try_send(Err(end));
    }

    /// Until the stream ends, and why.
    async fn talk(&self, hub: &Hub, incoming: &mut Streaming<wire::FromNode>) -> Status {
        let mut beat_at = Instant::now() + self.service.beat;
        loop {
            let next = hub.state().next_for(&self.node, self.session);
            match next {
                Err(error) => return Status::aborted(error.to_string()),
                Ok(Some(delta)) => {
                    count(&hub.counters.deltas);
                    if let Err(end) = self.tell(&ToNode::Delta(delta)).await {
                        return end;
                    }
                    beat_at = Instant::now() + self.service.beat;
                    continue;
                }
                Ok(None) => {}
            }
            tokio::select! {
                message = incoming.message() => match self.hear(hub, message) {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                () = self.waker.notified() => {}
                () = sleep_until(beat_at) => {
                    beat_at = Instant::now() + self.service.beat;
                    if hub.is_fresh() && let Err(end) = self.tell(&ToNode::Beat).await {
                        return end;
                    }
                }
            }
        }
    }

    async fn tell(&self, message: &ToNode) -> Result<(), Status> {
        let sent = timeout(self.service.unread, self.sender.send(Ok(message.encode()))).await;
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Status::cancelled("the node hung up")),
            Err(_) => Err(Status::deadline_exceeded("the node does not read")),
        }
    }

    fn hear(
        &self,
        hub: &Hub,
        message: Result<Option<wire::FromNode>, Status>,
    ) -> Result<(), Status> {
        let message = message?.ok_or_else(|| Status::cancelled("the node hung up"))?;
        let message = FromNode::decode(message);
        let message = message.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let mut heard = Ok(());
        hub.with(|state, at| {
            heard = state.hear(&self.node, self.session, message, at);
        });
        heard.map_err(|error| Status::aborted(error.to_string()))
    }
}

/// Serves nodes that `listener` meets until `ended`.
pub async fn serve(
    service: Service,
    listener: TcpListener,
    tls: Arc<Tls>,
    trust_domain: TrustDomain,
    ended: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let connections = connections(listener, tls, trust_domain, service.hub.clone());
    let nodes = NodesServer::new(service).max_decoding_message_size(LONGEST);
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .concurrency_limit_per_connection(4)
        .add_service(nodes)
        .serve_with_incoming_shutdown(connections, ended)
        .await
}

/// Connections whose node is known.
fn connections(
    listener: TcpListener,
    tls: Arc<Tls>,
    trust_domain: TrustDomain,
    hub: Arc<Hub>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        let limit = Arc::new(Semaphore::new(HANDSHAKES));
        while let Ok(permit) = limit.clone().acquire_owned().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let Ok((stream, address)) = accepted else {
                // Too many open files, say: they become fewer.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (sender, tls) = (sender.clone(), tls.clone());
            let (hub, trust_domain) = (hub.clone(), trust_domain.clone());
            tokio::spawn(async move {
                let shaken = timeout(PATIENCE, shake(stream, &tls, &trust_domain)).await;
                drop(permit);
                match shaken {
                    Ok(Ok(connection)) => {
                        let _ = sender.send(Ok(connection)).await;
                    }
                    Ok(Err(error)) => {
                        count(&hub.counters.refused_connections);
                        info!(%address, %error, "a connection was refused");
                    }
                    Err(_) => {
                        count(&hub.counters.refused_connections);
                        info!(%address, "a connection was refused: its handshake took too long");
                    }
                }
            });
        }
    });
    ReceiverStream::new(receiver).boxed()
}

async fn shake(stream: TcpStream, tls: &Tls, ours: &TrustDomain) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(<[_]>::first);
    let certificate = certificate.ok_or_else(|| io::Error::other("no certificate"))?;
    let node = node_of_certificate(certificate, ours).map_err(io::Error::other)?;
    let node = NodeName(node);
    Ok(Connection { stream, node })
}

/// The node at the other end, by its certificate.
#[derive(Debug, Clone)]
pub struct NodeName(ObjectName);

/// A connection whose node is known.
#[derive(Debug)]
struct Connection {
    stream: TlsStream<TcpStream>,
    node: NodeName,
}

impl Connected for Connection {
    type ConnectInfo = NodeName;

    fn connect_info(&self) -> NodeName {
        self.node.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buffer: &[u8],
    ) -> task::Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

//! A real service: TLS, HTTP/1.1, and whatever a test wants it to do.

use std::{
    convert::Infallible,
    error::Error,
    fmt::Write,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ProtocolVersion, ServerConfig, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// What the service saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub connections: usize,
    /// What the last of them spoke.
    pub version: Option<ProtocolVersion>,
    /// Connections that ended with a reset.
    pub resets: usize,
    /// Heads of requests, as text.
    pub requests: Vec<String>,
    /// Bodies of requests, as far as they came.
    pub uploaded: Vec<u8>,
}

pub(crate) struct Service {
    pub address: SocketAddr,
    pub seen: watch::Receiver<Seen>,
    /// Sends the chunks of replies to `/stream`.
    stream: mpsc::UnboundedSender<Bytes>,
}

struct Shared {
    seen: watch::Sender<Seen>,
    stream: Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>,
}

impl Service {
    pub(crate) async fn start(authority: &Authority, name: &str) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self::with(authority, name, provider, rustls::DEFAULT_VERSIONS).await
    }

    /// One that speaks TLS so and not otherwise.
    pub(crate) async fn with(
        authority: &Authority,
        name: &str,
        provider: Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let (certificate, key) = authority.certify(name);
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, chunks) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            seen: watch::Sender::default(),
            stream: Mutex::new(Some(chunks)),
        });
        let seen = shared.seen.subscribe();
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            shared,
        ));
        Self {
            address,
            seen,
            stream,
        }
    }

    pub(crate) async fn saw(&self, what: impl FnMut(&Seen) -> bool) {
        self.seen.clone().wait_for(what).await.unwrap();
    }

    /// Waits until nobody takes the reply to `/stream` any more.
    pub(crate) async fn is_cut(&self) {
        self.stream.closed().await;
    }

    pub(crate) fn stream(&self, chunk: impl Into<Bytes>) {
        self.stream.send(chunk.into()).unwrap();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.seen.send_modify(|seen| seen.connections += 1);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let version = stream.get_ref().1.protocol_version();
            shared.seen.send_modify(|seen| seen.version = version);
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            if connection.await.is_err_and(|error| is_reset(&error)) {
                shared.seen.send_modify(|seen| seen.resets += 1);
            }
        });
    }
}

fn is_reset(error: &hyper::Error) -> bool {
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::ConnectionReset)
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Reply, Infallible> {
    let (head, mut body) = request.into_parts();
    let mut text = format!("{} {}\n", head.method, head.uri);
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(text, "{name}: {value}").unwrap();
    }
    shared
        .seen
        .send_modify(|seen| seen.requests.push(text.clone()));
    Ok(match head.uri.path() {
        "/stream" => {
            let chunks = shared.stream.lock().unwrap().take().unwrap();
            Response::new(BodyExt::boxed(StreamBody::new(Chunks(chunks))))
        }
        "/demands-new" if !text.contains("Bearer new-secret") => {
            let mut reply = Response::new(full("no".to_owned()));
            *reply.status_mut() = http::StatusCode::UNAUTHORIZED;
            reply
        }
        "/tools-json" => with_type("application/json", TOOLS.to_owned()),
        "/tools-events" => with_type(
            "text/event-stream",
            format!("id: 1\ndata: \n\nevent: message\ndata: {TOOLS}\n\n"),
        ),
        "/long-tools-json" => with_type("application/json", long_tools()),
        "/long-tools-events" => {
            with_type("text/event-stream", format!("data: {}\n\n", long_tools()))
        }
        "/gzip-tools" => {
            let mut reply = with_type("application/json", TOOLS.to_owned());
            let headers = reply.headers_mut();
            headers.insert("content-encoding", "gzip".parse().unwrap());
            reply
        }
        "/never" => std::future::pending().await,
        "/gzip" => {
            let mut reply = Response::new(full(text));
            reply
                .headers_mut()
                .insert("content-encoding", "gzip".parse().unwrap());
            reply
        }
        _ => {
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(data) = frame.into_data() {
                    shared
                        .seen
                        .send_modify(|seen| seen.uploaded.extend_from_slice(&data));
                }
            }
            let mut reply = Response::new(full(text));
            for (name, value) in &head.headers {
                let name = format!("x-echo-{name}")
                    .parse::<http::HeaderName>()
                    .unwrap();
                reply.headers_mut().append(name, value.clone());
            }
            reply
                .headers_mut()
                .insert("alt-svc", "h3=\":443\"".parse().unwrap());
            reply
        }
    })
}

/// A list of tools, as a server of MCP gives it.
const TOOLS: &str =
    r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_issue"},{"name":"delete_repo"}]}}"#;

/// One that is longer than what is read.
fn long_tools() -> String {
    let long = format!(
        r#"{{"name":"{}"}},{{"name":"get_issue"}}"#,
        "x".repeat(5 << 20)
    );
    TOOLS.replace(r#"{"name":"get_issue"}"#, &long)
}

fn with_type(media: &str, text: String) -> Reply {
    let mut reply = Response::new(full(text));
    reply
        .headers_mut()
        .insert("content-type", media.parse().unwrap());
    reply
}

fn full(text: String) -> BoxBody<Bytes, Infallible> {
    http_body_util::Full::new(text.into()).boxed()
}

struct Chunks(mpsc::UnboundedReceiver<Bytes>);

impl futures_util::Stream for Chunks {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

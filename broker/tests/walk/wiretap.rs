//! A service that believes nothing: it reads what arrives byte by byte, and keeps it.

use std::{convert::Infallible, fmt::Write, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lanyard_node_agent_abi::tag::Tag;
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    authority::Authority,
    framing::{self, Framed},
    world::{NAME, World},
};

/// What arrived.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// A whole request: its method and target, its headers a line each, its body.
    Whole {
        line: String,
        headers: String,
        body: String,
    },
    /// The beginning of one, which was then broken off.
    Part,
    /// Something that is not one request, in a way that two readers agree on.
    Malformed(String),
}

impl Arrived {
    fn whole(line: String, headers: String, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body).into_owned();
        Self::Whole {
            line,
            headers,
            body,
        }
    }
}

pub(crate) struct Wiretap {
    pub address: SocketAddr,
    arrived: mpsc::UnboundedReceiver<Arrived>,
}

impl Wiretap {
    /// Starts it, and makes it the service of that world's grant. It speaks HTTP/2, or else HTTP/1.1.
    pub(crate) async fn start(world: &mut World, http2: bool) -> Self {
        let authority = Authority::new("authority of the wiretap");
        let (certificate, key) = authority.certify(NAME);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrived) = mpsc::unbounded_channel();
        tokio::spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            sender,
        ));
        world
            .change(|state| {
                state.grants[0].port = address.port().into();
                state.grants[0].ca_bundle = authority.pem();
            })
            .await;
        Self { address, arrived }
    }

    /// What the kernel remembers of a granted connection to it.
    pub(crate) fn tag(&self, world: &World) -> Tag {
        Tag {
            port: self.address.port().to_be(),
            ..world.tag()
        }
    }

    pub(crate) fn host(&self) -> String {
        format!("{NAME}:{}", self.address.port())
    }

    /// Everything that arrived since this was last asked.
    pub(crate) fn arrived(&mut self) -> Vec<Arrived> {
        std::iter::from_fn(|| self.arrived.try_recv().ok()).collect()
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, arrived: mpsc::UnboundedSender<Arrived>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, arrived) = (tls.clone(), arrived.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_http2(stream, &arrived).await;
            } else {
                serve_http1(stream, &arrived).await;
            }
        });
    }
}

/// What is sent there comes back as a reply, byte by byte.
pub(crate) const REPLY: &str = "/reply";

/// Answers each request with its own target, once all of it was read.
async fn serve_http1(mut stream: TlsStream<TcpStream>, arrived: &mpsc::UnboundedSender<Arrived>) {
    let mut bytes = Vec::new();
    loop {
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        match framing::read(&bytes) {
            Framed::Whole {
                line,
                headers,
                body,
                length,
            } => {
                let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let reply = if target == REPLY {
                    body.clone()
                } else {
                    let length = target.len();
                    let reply =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{target}");
                    reply.into_bytes()
                };
                arrived.send(Arrived::whole(line, headers, &body)).unwrap();
                bytes.drain(..length);
                if stream.write_all(&reply).await.is_err() {
                    return;
                }
            }
            Framed::Incomplete => {
                if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                    if !bytes.is_empty() {
                        arrived.send(Arrived::Part).unwrap();
                    }
                    return;
                }
            }
            Framed::Malformed(why) => {
                let text = format!("{why}: {}", text());
                arrived.send(Arrived::Malformed(text)).unwrap();
                return;
            }
        }
    }
}

async fn serve_http2(stream: TlsStream<TcpStream>, arrived: &mpsc::UnboundedSender<Arrived>) {
    let service = service_fn(|request| answer(request, arrived.clone()));
    let connection = http2::Builder::new(TokioExecutor::new());
    // However it ends: what arrived is kept.
    drop(
        connection
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn answer(
    request: Request<Incoming>,
    arrived: mpsc::UnboundedSender<Arrived>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().to_string();
    let line = format!("{} {target}", head.method);
    let mut headers = format!("host: {}\n", head.uri.authority().unwrap());
    for (name, value) in &head.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        writeln!(headers, "{name}: {value}").unwrap();
    }
    let what = match body.collect().await {
        Ok(body) => {
            let mut trailers = body.trailers().into_iter().flat_map(|map| map.keys());
            match trailers.find(|name| framing::is_no_trailer(name.as_str())) {
                Some(name) => Arrived::Malformed(format!("{line}: the trailer {name}")),
                None => Arrived::whole(line, headers, &body.to_bytes()),
            }
        }
        Err(_) => Arrived::Part,
    };
    arrived.send(what).unwrap();
    Ok(Response::new(Full::new(target.into())))
}

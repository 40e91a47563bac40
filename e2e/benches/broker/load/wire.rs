//! Connections to the service: dialled, encrypted, speaking HTTP.

use std::{
    fs::File,
    io::BufReader,
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lanyard_e2e::service::NAME;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Order, Via};

/// Far more than any reply: the client is never what a stream waits for.
const WINDOW: u32 = 16 << 20;

/// The variable that OpenSSL reads its roots by.
const TRUST: &str = "SSL_CERT_FILE";

/// How connections are made.
pub(super) struct Wire {
    via: Via,
    address: SocketAddr,
    port: u16,
    tls: TlsConnector,
    http2: bool,
    authorization: Option<HeaderValue>,
}

/// A connection that requests are sent on.
pub(super) enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Many(http2::SendRequest<Empty<Bytes>>),
}

impl Wire {
    pub(super) fn new(order: &Order) -> Result<Self> {
        let address = match order.via {
            Via::Address(address) | Via::Proxy(address) => address,
            Via::Name => {
                let found = (NAME, order.port).to_socket_addrs().context("look it up")?;
                // The lab's host has no other.
                let mut found = found.filter(SocketAddr::is_ipv4);
                found.next().context("the name has an address")?
            }
        };
        let authorization = order.token.as_ref().map(|token| format!("Bearer {token}"));
        Ok(Self {
            via: order.via.clone(),
            address,
            port: order.port,
            tls: TlsConnector::from(Arc::new(tls(order)?)),
            http2: order.http2,
            authorization: authorization.map(HeaderValue::try_from).transpose()?,
        })
    }

    /// A new connection, as far as TLS.
    async fn dial(&self) -> Result<TlsStream<TcpStream>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        if matches!(self.via, Via::Proxy(_)) {
            ask(&mut stream, self.port).await?;
        }
        let name = ServerName::try_from(NAME)?;
        let stream = self.tls.connect(name, stream).await?;
        let speaks_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        ensure!(speaks_http2 == self.http2, "it speaks the HTTP asked for");
        Ok(stream)
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Sender> {
        let stream = TokioIo::new(self.dial().await?);
        if self.http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW);
            let (sender, connection) = builder.handshake(stream).await?;
            // It ends with its sender.
            tokio::spawn(connection);
            Ok(Sender::Many(sender))
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Ok(Sender::One(sender))
        }
    }

    /// A request for that path.
    pub(super) fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>> {
        let mut request = if self.http2 {
            Request::get(format!("https://{NAME}:{}{path}", self.port))
        } else {
            Request::get(path).header(header::HOST, format!("{NAME}:{}", self.port))
        };
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        Ok(request.body(Empty::new())?)
    }
}

impl Sender {
    /// Sends a request, and waits for the head of the reply.
    pub(super) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>> {
        let reply = match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Many(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        ensure!(
            reply.status().is_success(),
            "the reply is {}",
            reply.status()
        );
        Ok(reply)
    }
}

/// Reads a body to its end, and says how long it was.
pub(super) async fn drain(body: &mut Incoming) -> Result<usize> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(length)
}

/// Asks a proxy for a connection to the service.
async fn ask(stream: &mut TcpStream, port: u16) -> Result<()> {
    let asked = format!("CONNECT {NAME}:{port} HTTP/1.1\r\nHost: {NAME}:{port}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let mut reply = Vec::new();
    // Nothing follows the head before the client speaks.
    while !reply.ends_with(b"\r\n\r\n") {
        reply.push(stream.read_u8().await?);
    }
    let reply = String::from_utf8_lossy(&reply);
    ensure!(reply.contains(" 200 "), "the proxy says {reply:?}");
    Ok(())
}

fn tls(order: &Order) -> Result<ClientConfig> {
    let roots = if order.roots.as_os_str().is_empty() {
        PathBuf::from(std::env::var_os(TRUST).context("a scope says whom to trust")?)
    } else {
        order.roots.clone()
    };
    let mut trusted = RootCertStore::empty();
    let mut file = BufReader::new(File::open(roots).context("open the roots")?);
    for certificate in CertificateDer::pem_reader_iter(&mut file) {
        // Of a machine's many roots some are not usable.
        let _ = trusted.add(certificate?);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let protocol: &[u8] = if order.http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    // A new connection is one with all that it costs.
    config.resumption = Resumption::disabled();
    Ok(config)
}

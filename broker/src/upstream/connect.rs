//! A connection to one of the addresses of a service, and TLS on it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lanyard_access::host::DnsName;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::UpstreamError;
use crate::socket::{Cut, Socket};

/// How long one address may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an address is tried before the next is tried beside it (RFC 8305, 5).
const BESIDE: Duration = Duration::from_millis(250);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection that is ready for HTTP.
#[derive(Debug)]
pub(super) struct Established {
    /// What to read and write.
    pub(super) stream: ServiceStream,
    /// Whether HTTP/2 is spoken on it.
    pub(super) http2: bool,
    /// What ends it at once.
    pub(super) cut: Cut,
}

impl Established {
    /// In the clear.
    pub(super) fn plain(socket: Socket, http2: bool) -> Self {
        Self {
            cut: socket.cut(),
            stream: ServiceStream::Plain(socket),
            http2,
        }
    }
}

/// What is spoken to a service on.
#[derive(Debug)]
pub(super) enum ServiceStream {
    /// In the clear.
    Plain(Socket),
    /// Over TLS.
    Tls(Box<TlsStream<Socket>>),
}

/// Connects to the first of the addresses that accepts, within the time that one has.
pub(super) async fn any(
    name: &DnsName,
    addresses: &[SocketAddr],
) -> Result<TcpStream, UpstreamError> {
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut rest = addresses.iter();
    loop {
        let next = match rest.next() {
            Some(address) => {
                attempts.spawn(one(*address));
                Some(sleep(BESIDE))
            }
            None => None,
        };
        let patience = async {
            match next {
                Some(sleep) => sleep.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(error)) => failure = io::Error::other(error),
                None => return Err(UpstreamError::Connect(name.clone(), failure)),
            },
            () = patience => {}
        }
    }
}

/// Connects within the time one address has.
pub(crate) async fn one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Speaks TLS, and holds the service to its name.
pub(super) async fn handshake(
    name: &DnsName,
    config: Arc<ClientConfig>,
    socket: Socket,
) -> Result<Established, UpstreamError> {
    let failed = |error| UpstreamError::Handshake(name.clone(), error);
    let server = ServerName::try_from(name.as_str().to_owned())
        .map_err(|error| failed(io::Error::other(error)))?;
    let cut = socket.cut();
    let handshake = TlsConnector::from(config).connect(server, socket);
    let stream = match timeout(HANDSHAKE, handshake).await {
        Ok(result) => result.map_err(failed)?,
        Err(elapsed) => return Err(failed(elapsed.into())),
    };
    Ok(Established {
        http2: stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        stream: ServiceStream::Tls(Box::new(stream)),
        cut,
    })
}

impl AsyncRead for ServiceStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ServiceStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

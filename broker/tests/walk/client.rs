//! A client in the scope: it speaks TLS and HTTP by hand, and keeps every byte it received.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::ServerName,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::authority::Authority;

pub(crate) struct Client {
    stream: TlsStream<TcpStream>,
    /// All that came.
    pub received: Vec<u8>,
}

impl Client {
    /// Speaks TLS for `name`, trusting the scope's root alone.
    pub(crate) async fn handshake(
        stream: TcpStream,
        root: &Authority,
        name: &str,
        sends_name: bool,
    ) -> io::Result<Self> {
        let protocols = [&b"h2"[..], b"http/1.1"];
        let stream = tls(stream, root, name, sends_name, &protocols).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Speaks TLS for `name` so and not otherwise.
    pub(crate) async fn with(
        stream: TcpStream,
        config: ClientConfig,
        name: &str,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self {
            stream: connector.connect(name, stream).await?,
            received: Vec::new(),
        })
    }

    /// What was agreed on.
    pub(crate) fn connection(&self) -> &ClientConnection {
        self.stream.get_ref().1
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends what the other side still takes.
    pub(crate) async fn offer(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_ok() {
            drop(self.stream.flush().await);
        }
    }

    /// Reads until that came, or nothing comes any more.
    pub(crate) async fn until_or_end(&mut self, text: &str) {
        while !self.has(text) && matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// Reads until that came.
    pub(crate) async fn until(&mut self, text: &str) {
        while !self.has(text) {
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert_ne!(read, 0, "ended before `{text}` came:\n{}", self.text());
        }
    }

    /// Reads one reply with a length to its end.
    pub(crate) async fn reply(&mut self) -> String {
        let start = self.received.len();
        loop {
            let text = String::from_utf8_lossy(&self.received[start..]).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    return text;
                }
            }
            let read = self.stream.read_buf(&mut self.received).await.unwrap();
            assert_ne!(read, 0, "ended within a reply:\n{text}");
        }
    }

    /// Reads to the end, whatever it is like.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        while self.stream.read_buf(&mut self.received).await? != 0 {}
        Ok(())
    }
}

/// A handshake for `name`, offering those protocols.
pub(crate) async fn tls(
    stream: TcpStream,
    root: &Authority,
    name: &str,
    sends_name: bool,
    protocols: &[&[u8]],
) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = config(root, provider, rustls::DEFAULT_VERSIONS);
    config.enable_sni = sends_name;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// One that trusts the scope's root alone.
pub(crate) fn config(
    root: &Authority,
    provider: Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(root.roots())
        .with_no_client_auth()
}

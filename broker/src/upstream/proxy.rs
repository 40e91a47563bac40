//! The way to a service through the proxy of the machine: a tunnel (CONNECT, RFC 9110, 9.3.6).
//!
//! The proxy resolves the name, so that where that leads is the proxy's to decide. TLS begins behind it as
//! everywhere: the service is held to its name.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lanyard_access::host::{DnsName, Host};
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{connect, lookup};
use crate::{
    agent::{Agent, CallError, ObtainedSecret},
    scope::UpstreamProxy,
};

/// How long the proxy may take to open a tunnel: it connects in turn.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer of a proxy.
const LONGEST: usize = 16 << 10;

/// How many addresses of the proxy are tried.
const ADDRESSES: usize = 4;

/// Why there is no tunnel.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    /// Its name does not resolve.
    #[error("the proxy's name could not be resolved")]
    Lookup,
    /// It does not accept connections, or breaks off.
    #[error("the proxy does not answer: {0}")]
    Connection(#[from] io::Error),
    /// What it wants is not to be had.
    #[error("what the proxy wants could not be obtained: {0}")]
    Secret(#[from] CallError),
    /// It says no.
    #[error("the proxy answered {0}")]
    Refused(u16),
    /// Its answer is none of HTTP.
    #[error("the proxy's answer is not understood")]
    NotUnderstood,
}

/// Opens a tunnel to a service. A proxy that refuses the secret is given another one, once, if there is one.
pub(super) async fn tunnel(
    agent: &Agent,
    proxy: &UpstreamProxy,
    name: &DnsName,
    port: u16,
) -> Result<TcpStream, ProxyError> {
    const WANTS_ANOTHER: u16 = 407;
    let secret = if proxy.has_secret {
        Some(agent.proxy_secret(0).await?)
    } else {
        None
    };
    match attempt(proxy, name, port, secret.as_ref()).await {
        Err(ProxyError::Refused(WANTS_ANOTHER)) => {}
        other => return other,
    }
    let refused = secret.ok_or(ProxyError::Refused(WANTS_ANOTHER))?.version;
    let secret = agent.proxy_secret(refused).await?;
    if secret.version == refused {
        return Err(ProxyError::Refused(WANTS_ANOTHER));
    }
    attempt(proxy, name, port, Some(&secret)).await
}

async fn attempt(
    proxy: &UpstreamProxy,
    name: &DnsName,
    port: u16,
    secret: Option<&ObtainedSecret>,
) -> Result<TcpStream, ProxyError> {
    let mut stream = reach(proxy).await?;
    let request = request(name, port, secret);
    let answered = async {
        stream.write_all(&request).await?;
        answer(&mut stream).await
    };
    let status = timeout(PATIENCE, answered)
        .await
        .map_err(io::Error::from)??;
    // Of a CONNECT, every 2xx opens the tunnel.
    if (200..300).contains(&status) {
        Ok(stream)
    } else {
        Err(ProxyError::Refused(status))
    }
}

async fn reach(proxy: &UpstreamProxy) -> Result<TcpStream, ProxyError> {
    let addresses: Vec<IpAddr> = match proxy.host.clone() {
        Host::Address(address) => vec![address],
        Host::Name(name) => match lookup::addresses(&name).await {
            Some(Ok(addresses)) => addresses,
            Some(Err(_)) | None => return Err(ProxyError::Lookup),
        },
        Host::Network(_) => return Err(ProxyError::Lookup),
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.into_iter().take(ADDRESSES) {
        match connect::one(SocketAddr::new(address, proxy.port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure.into())
}

fn request(name: &DnsName, port: u16, secret: Option<&ObtainedSecret>) -> Zeroizing<Vec<u8>> {
    let place = format!("{}:{port}", name.as_str());
    let head = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    // As long as it can become: growing would leave a copy of the secret behind.
    let room = secret.map_or(0, |secret| {
        let name = secret.username.as_deref().unwrap_or_default();
        (name.len() + secret.value.len()) * 2 + 64
    });
    let mut request = Zeroizing::new(Vec::with_capacity(head.len() + room + 4));
    request.extend_from_slice(head.as_bytes());
    if let Some(secret) = secret {
        let name = secret.username.as_deref().unwrap_or_default();
        let mut pair = Zeroizing::new(Vec::with_capacity(name.len() + 1 + secret.value.len()));
        pair.extend_from_slice(name.as_bytes());
        pair.push(b':');
        pair.extend_from_slice(&secret.value);
        let encoded = Zeroizing::new(STANDARD.encode(&*pair));
        request.extend_from_slice(b"Proxy-Authorization: Basic ");
        request.extend_from_slice(encoded.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Reads the head of the answer and not a byte more: what follows may be the service's own.
async fn answer(stream: &mut TcpStream) -> Result<u16, ProxyError> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head: Vec<u8> = Vec::new();
    let mut seen = [0; 2048];
    while !head.ends_with(END) {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = head.len();
        head.extend_from_slice(&seen[..count]);
        let from = before.saturating_sub(END.len() - 1);
        let end = head[from..]
            .windows(END.len())
            .position(|bytes| bytes == END);
        if let Some(end) = end {
            head.truncate(from + end + END.len());
        }
        if head.len() > LONGEST {
            return Err(ProxyError::NotUnderstood);
        }
        let taken = head.len() - before;
        stream.read_exact(&mut seen[..taken]).await?;
    }
    status(&head).ok_or(ProxyError::NotUnderstood)
}

/// The status of an answer in HTTP/1 (RFC 9112, 4).
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let code = rest.split(' ').next()?;
    (code.len() == 3).then(|| code.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line_alone() {
        for (head, expected) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407 \r\nA: HTTP/1.1 200 x\r\n\r\n", Some(407)),
            ("HTTP/1.1 200\r\n\r\n", Some(200)),
            ("HTTP/2 200 x\r\n\r\n", None),
            ("HTTP/1.1 2000 x\r\n\r\n", None),
            ("SSH-2.0-x\r\n\r\n", None),
        ] {
            assert_eq!(status(head.as_bytes()), expected, "{head}");
        }
    }

    #[test]
    fn the_request_names_the_service_and_holds_the_secret_without_growing() {
        let name: DnsName = "api.example.com".parse().unwrap();
        let plain = request(&name, 443, None);
        let text = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";
        assert_eq!(plain.as_slice(), text.as_bytes());
        let secret = ObtainedSecret {
            value: Zeroizing::new(vec![b'x'; 200]),
            username: Some("kim".into()),
            version: 1,
        };
        let with = request(&name, 443, Some(&secret));
        assert!(
            with.windows(27)
                .any(|bytes| bytes == b"Proxy-Authorization: Basic ")
        );
        let room = text.len() + 203 * 2 + 64 + 4;
        assert!(with.len() <= with.capacity() && with.capacity() <= room + 8);
    }
}

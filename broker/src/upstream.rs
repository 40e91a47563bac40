//! The way to a service: looked up, checked, connected to the address that was checked, and proven by its
//! certificate.

pub(crate) mod address;
pub(crate) mod roots;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lanyard_access::{desired::LiveGrant, host::DnsName};
use lanyard_protocol::record::GrantRef;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::{
    net::{TcpStream, lookup_host},
    sync::watch,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::{
    address::is_public,
    roots::{Roots, RootsError},
};
use crate::{http::body::RequestBody, limits, scope};

/// How long a name may take to resolve.
const LOOKUP: Duration = Duration::from_secs(10);

/// How long one address may take to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many addresses of a name are tried.
const ADDRESSES: usize = 4;

/// Why a service was not reached. The messages are shown to the agent: they name nothing it did not.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    /// The name does not resolve.
    #[error("`{0}` could not be resolved")]
    Lookup(DnsName),
    /// The name leads elsewhere than to the internet.
    #[error("`{0}` leads to no public address, and the grant does not say `allowPrivate: true`")]
    NotPublic(DnsName),
    /// No address of it accepts connections.
    #[error("the service at `{0}` does not accept connections: {1}")]
    Connect(DnsName, io::Error),
    /// The certificates to check it by are not usable.
    #[error("the certificates that `{0}` is to be checked by: {1}")]
    Roots(DnsName, RootsError),
    /// Its certificate, or its TLS, is not accepted.
    #[error("the TLS handshake with `{0}` failed: {1}")]
    Handshake(DnsName, io::Error),
    /// It does not speak HTTP.
    #[error("the service at `{0}` does not speak HTTP: {1}")]
    Http(DnsName, hyper::Error),
}

/// A connection to a service, for one connection of one process under one grant.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// The grant that allowed it; requests under another do not use it.
    pub(crate) grant: GrantRef,
    /// Sends requests.
    pub(crate) sender: SendRequest<RequestBody>,
    cut: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Drop for Upstream {
    /// One that is cut ends by itself.
    fn drop(&mut self) {
        if !*self.cut.borrow() {
            self.task.abort();
        }
    }
}

/// Connects to the service that a grant names. When `cut` becomes true, the connection ends at once: what
/// the kernel still holds of it is not sent either.
pub(crate) async fn connect(
    roots: &Roots,
    name: &DnsName,
    grant: &LiveGrant,
    cut: watch::Receiver<bool>,
) -> Result<Upstream, UpstreamError> {
    let addresses = lookup(name, grant).await?;
    let stream = connect_any(name, &addresses).await?;
    let bundle = grant.resource.ca_bundle.as_deref();
    let config = roots.client_config(bundle).await;
    let config = config.map_err(|error| UpstreamError::Roots(name.clone(), error))?;
    let stream = handshake(name, config, stream).await?;
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADERS)
        .max_header_size(limits::HEADER_BYTES)
        .max_buf_size(limits::BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| UpstreamError::Http(name.clone(), error))?;
    let task = tokio::spawn(carry(connection, cut.clone()));
    Ok(Upstream {
        grant: scope::reference(grant),
        sender,
        cut,
        task: task.abort_handle(),
    })
}

async fn carry(
    mut connection: http1::Connection<TokioIo<TlsStream<TcpStream>>, RequestBody>,
    mut cut: watch::Receiver<bool>,
) {
    tokio::select! {
        biased;
        Ok(_) = cut.wait_for(|cut| *cut) => {
            let stream = connection.into_parts().io.into_inner();
            // With it, closing resets (tcp(7)).
            drop(stream.get_ref().0.set_zero_linger());
        }
        result = &mut connection => {
            if let Err(error) = result {
                tracing::debug!(%error, "the connection to a service ended");
            }
        }
    }
}

/// The addresses of a name as this machine resolves it; nothing when that takes too long.
pub(crate) async fn addresses(name: &DnsName) -> Option<io::Result<Vec<IpAddr>>> {
    let found = timeout(LOOKUP, lookup_host((name.as_str(), 0)))
        .await
        .ok()?;
    Some(found.map(|found| found.map(|address| address.ip()).collect()))
}

async fn lookup(name: &DnsName, grant: &LiveGrant) -> Result<Vec<SocketAddr>, UpstreamError> {
    let port = grant.resource.port.get();
    let found = timeout(LOOKUP, lookup_host((name.as_str(), port))).await;
    let Ok(Ok(found)) = found else {
        return Err(UpstreamError::Lookup(name.clone()));
    };
    select(name, found, grant.resource.allow_private)
}

/// Of the addresses a name leads to, those that may be connected to.
fn select(
    name: &DnsName,
    found: impl IntoIterator<Item = SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, UpstreamError> {
    let mut found = found.into_iter().peekable();
    if found.peek().is_none() {
        return Err(UpstreamError::Lookup(name.clone()));
    }
    let allowed = |address: IpAddr| allow_private || is_public(address);
    let selected: Vec<_> = found
        .filter(|address| allowed(address.ip()))
        .take(ADDRESSES)
        .collect();
    if selected.is_empty() {
        return Err(UpstreamError::NotPublic(name.clone()));
    }
    Ok(selected)
}

async fn connect_any(name: &DnsName, addresses: &[SocketAddr]) -> Result<TcpStream, UpstreamError> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match connect_one(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(UpstreamError::Connect(name.clone(), failure))
}

/// Connects within the time one address has.
pub(crate) async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn handshake(
    name: &DnsName,
    config: Arc<ClientConfig>,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, UpstreamError> {
    let failed = |error| UpstreamError::Handshake(name.clone(), error);
    let server = ServerName::try_from(name.as_str().to_owned())
        .map_err(|error| failed(io::Error::other(error)))?;
    let handshake = TlsConnector::from(config).connect(server, stream);
    match timeout(HANDSHAKE, handshake).await {
        Ok(result) => result.map_err(failed),
        Err(elapsed) => Err(failed(elapsed.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(addresses: &[&str], allow_private: bool) -> Result<Vec<String>, UpstreamError> {
        let found = addresses.iter().map(|address| address.parse().unwrap());
        let selected = select(&"a.example".parse().unwrap(), found, allow_private)?;
        Ok(selected.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_public_name_that_leads_inside_is_refused() {
        for inside in ["10.0.0.1:443", "169.254.169.254:443", "[::1]:443"] {
            let error = selected(&[inside], false).unwrap_err();
            assert!(matches!(error, UpstreamError::NotPublic(_)));
            assert!(!error.to_string().contains("10.0"), "{error}");
            assert_eq!(selected(&[inside], true).unwrap(), [inside]);
        }
    }

    #[test]
    fn of_mixed_addresses_only_the_public_are_used() {
        let mixed = ["127.0.0.1:443", "8.8.8.8:443"];
        assert_eq!(selected(&mixed, false).unwrap(), ["8.8.8.8:443"]);
    }

    #[test]
    fn a_name_without_addresses_does_not_resolve() {
        assert!(matches!(selected(&[], true), Err(UpstreamError::Lookup(_))));
    }
}

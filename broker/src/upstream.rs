//! The way to a service: looked up, checked, connected to the address that was checked, and proven by its
//! certificate. Connections stay open for the next request under the same grant, and end with it.

pub(crate) mod address;
pub(crate) mod connect;
pub(crate) mod lookup;
mod pool;
mod proxy;
pub(crate) mod roots;
pub(crate) mod service;
pub(crate) mod substitution;

use std::{fmt, io, sync::Arc, time::Duration};

use lanyard_access::{
    desired::LiveGrant,
    grant::Protocol,
    host::{DnsName, Host},
};
use lanyard_protocol::record::GrantRef;
use thiserror::Error;
use tokio::sync::watch;

use self::{
    connect::Established,
    lookup::Lookups,
    pool::Pool,
    proxy::ProxyError,
    roots::{Alpn, Roots, RootsError},
    service::Service,
};
use crate::{
    agent::Agent,
    scope::{self, Scope},
    socket::Socket,
};

/// How often connections that nobody uses are looked for.
pub(crate) const SWEEP: Duration = Duration::from_secs(15);

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
    /// The machine's proxy does not lead there.
    #[error("the way to `{0}` through the machine's proxy: {1}")]
    Proxy(DnsName, ProxyError),
    /// The certificates to check it by are not usable.
    #[error("the certificates that `{0}` is to be checked by: {1}")]
    Roots(DnsName, RootsError),
    /// Its certificate, or its TLS, is not accepted.
    #[error("the TLS handshake with `{0}` failed: {1}")]
    Handshake(DnsName, io::Error),
    /// It does not speak HTTP.
    #[error("the service at `{0}` does not speak HTTP: {1}")]
    Http(DnsName, hyper::Error),
    /// The grant is not for a name.
    #[error("the grant is for no name")]
    NoName,
}

/// Which version of HTTP a request can be carried in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// That which both sides speak, with the client's own first.
    Any {
        /// Whether the client speaks HTTP/2.
        client_speaks_http2: bool,
    },
    /// HTTP/1.1 alone: the request asks for another protocol on its connection.
    Http1,
}

impl Wanted {
    const fn offers_http2(self) -> bool {
        match self {
            Self::Http1 => false,
            Self::Any {
                client_speaks_http2,
            } => client_speaks_http2,
        }
    }
}

/// All ways to services of one scope.
pub(crate) struct Upstreams {
    roots: Roots,
    lookups: Lookups,
    pool: Pool,
    scope: watch::Receiver<Arc<Scope>>,
    agent: Arc<Agent>,
}

impl Upstreams {
    /// Nothing is connected yet.
    pub(crate) fn new(roots: Roots, scope: watch::Receiver<Arc<Scope>>, agent: Arc<Agent>) -> Self {
        Self {
            roots,
            lookups: Lookups::default(),
            pool: Pool::default(),
            scope,
            agent,
        }
    }

    /// A connection for one request under `grant`: one that is open and free, else a new one.
    pub(crate) async fn service(
        &self,
        grant: &LiveGrant,
        wanted: Wanted,
    ) -> Result<Service, UpstreamError> {
        let reference = scope::reference(grant);
        if let Some(service) = self.pool.take(&reference, wanted) {
            return Ok(service);
        }
        // Whoever comes while it is not known what the service speaks, or could share a connection that is
        // being made, waits for who came first.
        let turn = self.pool.turn(&reference, wanted);
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if let Some(service) = self.pool.take(&reference, wanted) {
            return Ok(service);
        }
        self.connect(grant, &reference, wanted).await
    }

    /// A new connection, whatever is open.
    pub(crate) async fn connect(
        &self,
        grant: &LiveGrant,
        reference: &GrantRef,
        wanted: Wanted,
    ) -> Result<Service, UpstreamError> {
        let established = self.establish(grant, reference, wanted).await?;
        let service = service::start(
            established,
            grant_name(grant)?,
            reference,
            self.scope.clone(),
        )
        .await?;
        if wanted.offers_http2() {
            self.pool.learn(reference, service.speaks_http2());
        }
        Ok(self.pool.share(service))
    }

    /// Whether the service of a grant speaks HTTP/2. Found out by connecting, where it is not known yet.
    pub(crate) async fn speaks_http2(&self, grant: &LiveGrant) -> bool {
        let reference = scope::reference(grant);
        if grant.resource.protocol == Protocol::Http {
            return true;
        }
        if let Some(known) = self.pool.known(&reference) {
            return known;
        }
        let wanted = Wanted::Any {
            client_speaks_http2: true,
        };
        match self.service(grant, wanted).await {
            Ok(service) => {
                let speaks = service.speaks_http2();
                self.give_back(service);
                speaks
            }
            Err(error) => {
                tracing::debug!(%error, "what a service speaks is not known");
                false
            }
        }
    }

    /// Takes back a connection whose last reply was read to its end.
    pub(crate) fn give_back(&self, service: Service) {
        self.pool.give_back(service);
    }

    /// Ends what nobody used for long, and forgets what belongs to grants that are gone.
    pub(crate) fn sweep(&self) {
        let scope = Arc::clone(&self.scope.borrow());
        self.pool.sweep(&scope);
    }

    /// A connection to the host of a grant for TCP, or for TLS that is carried as it is.
    pub(crate) async fn stream(&self, grant: &LiveGrant) -> Result<Socket, UpstreamError> {
        let name = grant_name(grant)?;
        let proxy = self.scope.borrow().upstream_proxy.clone();
        if let Some(proxy) = proxy.filter(|proxy| proxy.is_for(name)) {
            let port = grant.resource.port.get();
            let tunnel = proxy::tunnel(&self.agent, &proxy, name, port).await;
            let socket = tunnel.and_then(|tunnel| Ok(Socket::new(tunnel)?));
            return socket.map_err(|error| UpstreamError::Proxy(name.clone(), error));
        }
        let addresses = self.lookups.of(name, grant).await?;
        let stream = connect::any(name, &addresses).await?;
        Socket::new(stream).map_err(|error| UpstreamError::Connect(name.clone(), error))
    }

    async fn establish(
        &self,
        grant: &LiveGrant,
        reference: &GrantRef,
        wanted: Wanted,
    ) -> Result<Established, UpstreamError> {
        let name = grant_name(grant)?;
        let socket = self.stream(grant).await?;
        let http2 = wanted.offers_http2();
        if grant.resource.protocol == Protocol::Http {
            // Without TLS nothing is negotiated: a service is taken to speak what the client speaks
            // (RFC 9113, 3.3).
            return Ok(Established::plain(socket, http2));
        }
        let alpn = if http2 { Alpn::Both } else { Alpn::Http1 };
        let config = self.pool.tls(reference, alpn, || {
            self.roots
                .client_config(grant.resource.ca_bundle.as_deref(), alpn)
        });
        let config = config
            .await
            .map_err(|error| UpstreamError::Roots(name.clone(), error))?;
        connect::handshake(name, config, socket).await
    }
}

fn grant_name(grant: &LiveGrant) -> Result<&DnsName, UpstreamError> {
    match &grant.resource.host {
        Host::Name(name) => Ok(name),
        Host::Address(_) | Host::Network(_) => Err(UpstreamError::NoName),
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Upstreams")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

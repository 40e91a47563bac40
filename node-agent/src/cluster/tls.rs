//! Connections to the other parts of the cluster: mutual TLS 1.3, each with the certificate that is there at that moment.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName, pem::PemObject as _,
    },
    version::TLS13,
};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a connection is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(super) enum ConnectError {
    /// A file of the folder.
    #[error("read {path}: {reason}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Key and certificate do not go together.
    #[error("use the certificate of this node: {0}")]
    Certificate(#[from] rustls::Error),
    /// The address is none.
    #[error("`{0}` is no https:// address")]
    Address(Uri),
    /// Its host is none.
    #[error("the host of the operator: {0}")]
    Host(#[from] InvalidDnsNameError),
    /// It is not reached.
    #[error("connect to {to}: {reason}")]
    Connect {
        /// Where.
        to: Uri,
        /// What the error says, and what it comes from.
        reason: String,
    },
}

/// Reaches a part of the cluster.
pub(super) async fn connect(to: &Uri, folder: &Path) -> Result<Channel, ConnectError> {
    let bad = || ConnectError::Address(to.clone());
    let (Some("https"), Some(host)) = (to.scheme_str(), to.host()) else {
        return Err(bad());
    };
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
    let address = (
        host.trim_matches(['[', ']']).to_owned(),
        to.port_u16().unwrap_or(443),
    );
    let connector = TlsConnector::from(Arc::new(config(folder)?));
    let reach = service_fn(move |_: Uri| {
        let (address, connector, name) = (address.clone(), connector.clone(), name.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect(name, stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    // The connector brings the TLS, of which tonic knows nothing: it refuses `https` where its own is left out.
    let mut parts = to.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    let endpoint = Endpoint::from(Uri::from_parts(parts).map_err(|_| bad())?)
        .origin(to.clone())
        .connect_timeout(PATIENCE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let connected = endpoint.connect_with_connector(reach).await;
    connected.map_err(|error| ConnectError::Connect {
        to: to.clone(),
        reason: chain(&error),
    })
}

/// An error with what it comes from: the outermost says no more than that there is one.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text += ": ";
        text += &error.to_string();
        next = error.source();
    }
    text
}

/// What a connection is made with.
fn config(folder: &Path) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(&folder.join("ca.crt"))? {
        roots.add(root)?;
    }
    let chain = certificates(&folder.join("tls.crt"))?;
    let key = folder.join("tls.key");
    let read = PrivateKeyDer::from_pem_file(&key);
    let key = read.map_err(|error| ConnectError::File {
        path: key,
        reason: error.to_string(),
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let failed = |reason: String| ConnectError::File {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let read = read.map_err(|error| failed(error.to_string()))?;
    if read.is_empty() {
        return Err(failed("there is no certificate in it".to_owned()));
    }
    Ok(read)
}

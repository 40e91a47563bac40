//! What a service's certificate is checked by: the system's roots, or those that the grant names alone.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use thiserror::Error;
use tokio::{sync::OnceCell, task::spawn_blocking};

/// Why there is nothing to check a certificate by.
#[derive(Debug, Error)]
pub(crate) enum RootsError {
    /// The machine has no roots.
    #[error("the machine has no usable root certificates")]
    NoSystemRoots,
    /// The grant's bundle is not one.
    #[error("the caBundle of the grant has no usable certificates")]
    Bundle,
    /// The TLS library did not take them.
    #[error("{0}")]
    Use(#[from] rustls::Error),
}

/// The versions of HTTP that a service is offered (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alpn {
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/1.1 alone.
    Http1,
}

/// The system's roots, read when they are first needed.
#[derive(Debug)]
pub(crate) struct Roots {
    provider: Arc<CryptoProvider>,
    system: OnceCell<Arc<WebPkiServerVerifier>>,
}

/// How many sessions of one grant can be resumed.
const SESSIONS: usize = 8;

impl Roots {
    /// Nothing is read yet.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            system: OnceCell::new(),
        }
    }

    /// How a service is spoken to under one grant: checked by `bundle` (PEM) if there is one, else by the
    /// system's roots. Each call gives a configuration with tickets of its own: one would link connections of
    /// different principals.
    pub(crate) async fn client_config(
        &self,
        bundle: Option<&str>,
        alpn: Alpn,
    ) -> Result<ClientConfig, RootsError> {
        let verifier = if let Some(bundle) = bundle {
            self.verifier(parse_bundle(bundle)?)?
        } else {
            let system = self.system.get_or_try_init(|| async {
                let roots = spawn_blocking(system_roots).await;
                self.verifier(roots.map_err(|_| RootsError::NoSystemRoots)??)
            });
            Arc::clone(system.await?)
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = match alpn {
            Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Alpn::Http1 => vec![b"http/1.1".to_vec()],
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(config)
    }

    fn verifier(&self, roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, RootsError> {
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| RootsError::NoSystemRoots)
    }
}

/// Every certificate of a bundle has to be usable: half of what its author meant is not what they meant.
fn parse_bundle(bundle: &str) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate = certificate.map_err(|_| RootsError::Bundle)?;
        roots.add(certificate).map_err(|_| RootsError::Bundle)?;
    }
    (!roots.is_empty())
        .then_some(roots)
        .ok_or(RootsError::Bundle)
}

fn system_roots() -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let loaded = rustls_native_certs::load_native_certs();
    let (taken, ignored) = roots.add_parsable_certificates(loaded.certs);
    tracing::debug!(taken, ignored, errors = ?loaded.errors, "read the system's root certificates");
    (!roots.is_empty())
        .then_some(roots)
        .ok_or(RootsError::NoSystemRoots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        for bad in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(
                matches!(parse_bundle(bad), Err(RootsError::Bundle)),
                "{bad}"
            );
        }
    }
}

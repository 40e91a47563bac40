//! What a service's certificate is checked by: the system's roots, or those that the grant names alone.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
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

/// The system's roots, read when they are first needed.
#[derive(Debug)]
pub(crate) struct Roots {
    provider: Arc<CryptoProvider>,
    system: OnceCell<Arc<ClientConfig>>,
}

impl Roots {
    /// Nothing is read yet.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            system: OnceCell::new(),
        }
    }

    /// How a service is spoken to: checked by `bundle` (PEM) if there is one, else by the system's roots.
    pub(crate) async fn client_config(
        &self,
        bundle: Option<&str>,
    ) -> Result<Arc<ClientConfig>, RootsError> {
        if let Some(bundle) = bundle {
            return self.config(parse_bundle(bundle)?);
        }
        let system = self.system.get_or_try_init(|| async {
            let roots = spawn_blocking(system_roots).await;
            self.config(roots.map_err(|_| RootsError::NoSystemRoots)??)
        });
        system.await.cloned()
    }

    fn config(&self, roots: RootCertStore) -> Result<Arc<ClientConfig>, RootsError> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A ticket would link connections of different principals.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
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

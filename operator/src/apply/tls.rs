//! Who the operator is to its nodes, and who they are to it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use lanyard_access::{object::ObjectName, spiffe_id::TrustDomain};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};
use thiserror::Error;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::decide::node::{NoNode, node_of};

/// Why the files are none to serve with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is no PEM of what is expected: {error}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        error: pem::Error,
    },
    /// An authority is none.
    #[error("the trust bundle: {0}")]
    Bundle(rustls::Error),
    /// There is no authority.
    #[error("the trust bundle: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// Certificate and key do not go together.
    #[error("certificate and key: {0}")]
    Pair(rustls::Error),
}

/// Why a certificate is that of no node.
#[derive(Debug, Error)]
pub enum NotANode {
    /// It cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// It has no URI, or several.
    #[error("the certificate has {0} URIs where a SPIFFE ID is one")]
    Uris(usize),
    /// Its ID is of something else.
    #[error(transparent)]
    Id(#[from] NoNode),
}

/// The files, and what was last made of them.
#[derive(Debug)]
pub struct Tls {
    folder: PathBuf,
    bundle: PathBuf,
    current: Mutex<(Files, Arc<ServerConfig>)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    bundle: Vec<u8>,
}

impl Tls {
    /// Reads the files for the first time.
    pub fn load(folder: &Path, bundle: &Path) -> Result<Self, TlsError> {
        let files = Files::read(folder, bundle)?;
        let config = files.config(folder, bundle)?;
        Ok(Self {
            folder: folder.to_owned(),
            bundle: bundle.to_owned(),
            current: Mutex::new((files, config)),
        })
    }

    /// What new connections are met with.
    pub fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.1.clone()
    }

    /// Reads the files again: whether they changed. What was good stays until there is something better.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.folder, &self.bundle)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == files {
            return Ok(false);
        }
        let config = files.config(&self.folder, &self.bundle)?;
        *current = (files, config);
        Ok(true)
    }
}

impl Files {
    fn read(folder: &Path, bundle: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| TlsError::Read {
                path: path.to_owned(),
                error,
            })
        };
        Ok(Self {
            certificate: read(&folder.join("tls.crt"))?,
            key: read(&folder.join("tls.key"))?,
            bundle: read(bundle)?,
        })
    }

    fn config(&self, folder: &Path, bundle: &Path) -> Result<Arc<ServerConfig>, TlsError> {
        let wrong = |path: PathBuf| move |error| TlsError::Pem { path, error };
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&self.bundle) {
            let authority = authority.map_err(wrong(bundle.to_owned()))?;
            roots.add(authority).map_err(TlsError::Bundle)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(wrong(folder.join("tls.crt")))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(wrong(folder.join("tls.key")))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Pair)?;
        let config = config.with_client_cert_verifier(verifier.build()?);
        let mut config = config
            .with_single_cert(chain, key)
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each connection proves its node by a certificate that is good now.
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// The node that a certificate, whose chain was verified, is of.
pub fn node_of_certificate(
    certificate: &CertificateDer<'_>,
    ours: &TrustDomain,
) -> Result<ObjectName, NotANode> {
    let (_, parsed) = parse_x509_certificate(certificate).map_err(|_| NotANode::Certificate)?;
    let names = parsed.subject_alternative_name();
    let names = names.map_err(|_| NotANode::Certificate)?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let uris: Vec<&str> = names
        .filter_map(|name| {
            if let GeneralName::URI(uri) = name {
                Some(*uri)
            } else {
                None
            }
        })
        .collect();
    match uris[..] {
        [uri] => Ok(node_of(uri, ours)?),
        _ => Err(NotANode::Uris(uris.len())),
    }
}

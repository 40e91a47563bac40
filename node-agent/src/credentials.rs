//! Where a node agent gets the credentials that its brokers put into requests.

use lanyard_access::{credential::CredentialSource, spiffe_id::TrustDomain};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a credential is not to be had. The secret is not in it.
#[derive(Debug, Error)]
pub enum CredentialError {
    /// Nothing says where the secret is.
    #[error("the machine's policy does not say where the secret {0} is; list it under `secrets`")]
    NotMapped(String),
    /// The source refused.
    #[error("{0}")]
    Source(String),
}

/// A way to obtain credentials: on one machine from files, in a cluster from the authority.
pub trait Credentials {
    /// Obtains the credential of `source` for one request.
    fn obtain(&self, source: &CredentialSource) -> Result<Zeroizing<Vec<u8>>, CredentialError>;

    /// Who vouches for the identities of this node.
    fn trust_domain(&self) -> TrustDomain;
}

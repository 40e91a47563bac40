//! Credentials of a cluster, which its authority alone obtains.

use lanyard_access::spiffe_id::TrustDomain;

use crate::credentials::{CredentialError, Credentials, MachineProxy, Obtain, Wanted};

/// The authority of the cluster, as this node knows it.
pub(super) struct Authority {
    trust_domain: TrustDomain,
}

impl Authority {
    /// That of a domain of trust.
    pub(super) const fn of(trust_domain: TrustDomain) -> Self {
        Self { trust_domain }
    }
}

impl Credentials for Authority {
    fn source(&self, _: &Wanted) -> Result<Obtain, CredentialError> {
        let why = "this node knows no authority of its cluster to ask for credentials";
        Err(CredentialError::Source(why.to_owned()))
    }

    fn machine_proxy(&self) -> Option<MachineProxy> {
        None
    }

    fn trust_domain(&self) -> TrustDomain {
        self.trust_domain.clone()
    }
}

//! Where a node agent gets the credentials that its brokers put into requests, and how they rest here between
//! requests.

mod locked;
pub mod resting;

use lanyard_access::{
    credential::CredentialSource,
    object::{ObjectKey, Uid},
    spiffe_id::TrustDomain,
};
use lanyard_protocol::broker::UpstreamProxy;
use thiserror::Error;
use tokio::task::{spawn_blocking, spawn_local};
use zeroize::Zeroizing;

pub use self::resting::Resting;
use self::resting::{Held, Look};
use crate::{kernel::clock::Moment, node::Shared, scope::pod::PodUid};

/// A credential, and where it is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// From its source, which is written here.
    Here(CredentialSource),
    /// From the authority of the cluster, which decides again whether it may be had.
    OfAuthority(Claim),
}

/// For what an authority is asked for a credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The `CredentialSource`.
    pub source: ObjectKey,
    /// The grant that names it.
    pub grant: ObjectKey,
    /// This life of the grant.
    pub grant_uid: Uid,
    /// The pod whose agent is granted it.
    pub pod: PodUid,
}

/// By what one credential that rests here is told from another.
pub type Place = (ObjectKey, Option<Claim>);

impl Wanted {
    /// Where it rests.
    pub fn place(&self) -> Place {
        match self {
            Self::Here(source) => (source.key.clone(), None),
            Self::OfAuthority(claim) => (claim.source.clone(), Some(claim.clone())),
        }
    }
}

/// Why a credential is not to be had. The secret is not in it.
#[derive(Debug, Clone, Error)]
pub enum CredentialError {
    /// Nothing says where the secret is.
    #[error("the machine's policy does not say where the secret {0} is; list it under `secrets`")]
    NotMapped(String),
    /// The source refused.
    #[error("{0}")]
    Source(String),
    /// It failed a moment ago, and is not asked again yet.
    #[error("{error}; it is asked again in {seconds} s")]
    Again {
        /// Why it failed.
        error: String,
        /// How long until then.
        seconds: u64,
    },
}

/// A credential, as its source gives it.
pub struct Obtained {
    /// The user name, of sources that have one.
    pub username: Option<String>,
    /// The token or password.
    pub secret: Zeroizing<Vec<u8>>,
}

/// Obtains a credential, on a thread that may block.
pub type Obtain = Box<dyn FnOnce() -> Result<Obtained, CredentialError> + Send>;

/// The proxy through which a machine reaches services.
#[derive(Debug, Clone)]
pub struct MachineProxy {
    /// What brokers are told of it: nothing secret.
    pub told: UpstreamProxy,
    /// The secret that it wants.
    pub secret: Option<ObjectKey>,
}

/// A way to obtain credentials: on one machine from files, in a cluster from the authority.
pub trait Credentials {
    /// What obtains a credential.
    fn source(&self, wanted: &Wanted) -> Result<Obtain, CredentialError>;

    /// The proxy through which this machine reaches services.
    fn machine_proxy(&self) -> Option<MachineProxy>;

    /// Who vouches for the identities of this node.
    fn trust_domain(&self) -> TrustDomain;
}

/// A credential as it rests here, else obtained. Of many who ask at once, one obtains it. One of
/// `refused_version` was not accepted by a service: another is obtained.
pub async fn obtain(
    node: &Shared,
    source: &Wanted,
    refused_version: u64,
) -> Result<Held, CredentialError> {
    let mut refused_version = refused_version;
    loop {
        let look = node
            .borrow_mut()
            .resting
            .look(source, refused_version, Moment::now().boot);
        let mut settled = match look {
            Look::Held(held) => return Ok(held),
            Look::Failed(error) => return Err(error),
            Look::Wait(settled) => settled,
            Look::Obtain(settled) => {
                begin(node, source);
                settled
            }
        };
        // Whoever obtains it always settles, and a sender that is gone is as good.
        let _ = settled.changed().await;
        // What is there now was obtained after it was refused.
        refused_version = 0;
    }
}

/// A task of its own: whoever asked first may leave, and the others still wait.
fn begin(node: &Shared, source: &Wanted) {
    let job = node.borrow().credentials.source(source);
    let (node, source) = (node.clone(), source.clone());
    spawn_local(async move {
        let result = match job {
            Ok(job) => spawn_blocking(job)
                .await
                .unwrap_or_else(|error| Err(CredentialError::Source(error.to_string()))),
            Err(error) => Err(error),
        };
        let now = Moment::now().boot;
        node.borrow_mut().resting.settle(&source, result, now);
    });
}

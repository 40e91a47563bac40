//! Speaks TLS for the names of the scope: an intermediate of the scope's root, and a certificate a name.

mod issued;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use lanyard_access::host::DnsName;
use rcgen::{KeyPair, PublicKeyData};
use rustls::{ServerConfig, crypto::CryptoProvider};
use thiserror::Error;
use tokio::{sync::watch, time::timeout};

use crate::{
    agent::{Agent, CallError},
    clock,
    interception::issued::Issued,
    scope::Scope,
};

/// How long a handshake waits for a certificate.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before asking again for what was refused.
const AGAIN: Duration = Duration::from_secs(1);

/// How often the age of the intermediate is looked at: timers stand still while the machine is suspended.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// The longest time between two signatures.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum InterceptionError {
    /// No key could be made.
    #[error("make a key: {0}")]
    Key(rcgen::Error),
    /// The node agent did not sign.
    #[error("have an intermediate certificate signed: {0}")]
    Sign(#[from] CallError),
    /// What it signed is not a certificate.
    #[error("read the intermediate certificate: {0}")]
    Intermediate(rcgen::Error),
    /// It sent no certificate at all.
    #[error("the chain of the intermediate certificate is empty")]
    EmptyChain,
    /// A certificate for a name could not be made.
    #[error("make a certificate for `{0}`: {1}")]
    Leaf(DnsName, rcgen::Error),
    /// The TLS library did not take it.
    #[error("use the certificate for `{0}`: {1}")]
    Use(DnsName, rustls::Error),
    /// No intermediate covers the name.
    #[error("no intermediate certificate covers `{0}`")]
    NotCovered(DnsName),
}

/// The keys of this process, and what was signed for them.
#[derive(Debug)]
pub(crate) struct Interception {
    provider: Arc<CryptoProvider>,
    intermediate: Arc<KeyPair>,
    leaf: Arc<KeyPair>,
    issued: watch::Sender<Option<Arc<Issued>>>,
}

impl Interception {
    /// Makes the keys. They live as long as the process, and nowhere else.
    pub(crate) fn new(provider: Arc<CryptoProvider>) -> Result<Self, InterceptionError> {
        let key = || KeyPair::generate().map(Arc::new);
        Ok(Self {
            provider,
            intermediate: key().map_err(InterceptionError::Key)?,
            leaf: key().map_err(InterceptionError::Key)?,
            issued: watch::Sender::new(None),
        })
    }

    /// How TLS is spoken for that name: with its certificate, and no other; offering HTTP/2 or not.
    pub(crate) async fn config(
        &self,
        name: &DnsName,
        http2: bool,
    ) -> Result<Arc<ServerConfig>, InterceptionError> {
        let mut issued = self.issued.subscribe();
        let covering = issued.wait_for(|issued| covers(issued.as_deref(), name));
        match timeout(PATIENCE, covering).await {
            Ok(Ok(issued)) => match issued.as_ref() {
                Some(issued) => issued.config(name, http2),
                None => Err(InterceptionError::NotCovered(name.clone())),
            },
            Ok(Err(_)) | Err(_) => Err(InterceptionError::NotCovered(name.clone())),
        }
    }

    /// Keeps an intermediate signed for exactly the names of the scope. Runs as long as the broker does.
    pub(crate) async fn keep_signed(&self, agent: &Agent, mut scope: watch::Receiver<Arc<Scope>>) {
        loop {
            let names = scope.borrow_and_update().names.all();
            let wait = if names.is_empty() || self.is_current(&names) {
                LOOK_AGAIN
            } else {
                match self.sign(agent, names).await {
                    Ok(issued) => {
                        self.issued.send_replace(Some(Arc::new(issued)));
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "nothing can be intercepted for now");
                        AGAIN
                    }
                }
            };
            if let Ok(Err(_)) = timeout(wait, scope.changed()).await {
                return;
            }
        }
    }

    /// Whether the intermediate is for those names, and not yet due to be signed anew.
    fn is_current(&self, names: &BTreeSet<DnsName>) -> bool {
        let issued = self.issued.borrow();
        issued
            .as_ref()
            .is_some_and(|issued| issued.names == *names && issued.renew_at > clock::boot_now())
    }

    async fn sign(
        &self,
        agent: &Agent,
        names: BTreeSet<DnsName>,
    ) -> Result<Issued, InterceptionError> {
        let public_key = self.intermediate.subject_public_key_info();
        let answer = agent.sign_intermediate(public_key).await?;
        let life = Duration::from_secs(
            u64::try_from(answer.not_after.saturating_sub(clock::wall_seconds())).unwrap_or(0),
        );
        // Half of its life is left for a node agent that does not answer. Never at once again, whatever
        // the wall clock says.
        let renew_at = clock::boot_now() + (life / 2).clamp(AGAIN, LONGEST_LIFE);
        Issued::new(
            &self.provider,
            Arc::clone(&self.intermediate),
            Arc::clone(&self.leaf),
            issued::Signed {
                names,
                chain: answer.chain,
                not_after: answer.not_after,
                renew_at,
            },
        )
    }
}

fn covers(issued: Option<&Issued>, name: &DnsName) -> bool {
    issued.is_some_and(|issued| issued.names.contains(name))
}

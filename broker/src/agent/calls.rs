//! What a broker asks its node agent.

use std::{net::IpAddr, time::Duration};

use lanyard_access::host::DnsName;
use lanyard_protocol::{
    broker::{
        Attestation, AwaitAttestation, GetProxySecret, GetSecret, Intermediate, LeaseBytes,
        Observed, ReturnBytes, SignIntermediate, answer, call,
    },
    record::Event,
};
use tokio::time::timeout;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Agent, CallError, ObtainedSecret};

/// How long a call may take, unless its caller waits less.
const LONGEST_CALL: Duration = Duration::from_secs(10);

/// How long a secret may take: its source may be slow, and the node agent has limits of its own.
const LONGEST_SECRET: Duration = Duration::from_secs(30);

impl Agent {
    /// Waits until the image is attested or refused.
    pub async fn await_attestation(
        &self,
        exec_id: u64,
        limit: Duration,
    ) -> Result<Attestation, CallError> {
        let call = call::Call::AwaitAttestation(AwaitAttestation { exec_id });
        // The kernel holds a connection no longer than that.
        let answer = timeout(limit, self.call(call, LONGEST_CALL)).await;
        let answer = answer.map_err(|_| CallError::Timeout)??;
        let answer::Answer::Attestation(attestation) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(attestation)
    }

    /// The secret of a grant's credential, for one request of a process; another than that of
    /// `refused_version`, if there is another.
    pub(crate) async fn secret(
        &self,
        grant: String,
        exec_id: u64,
        refused_version: u64,
    ) -> Result<ObtainedSecret, CallError> {
        let call = call::Call::GetSecret(GetSecret {
            grant,
            exec_id,
            refused_version,
        });
        self.obtain(call).await
    }

    /// What the machine's proxy wants, for one connection to it.
    pub(crate) async fn proxy_secret(
        &self,
        refused_version: u64,
    ) -> Result<ObtainedSecret, CallError> {
        let call = call::Call::GetProxySecret(GetProxySecret { refused_version });
        self.obtain(call).await
    }

    async fn obtain(&self, call: call::Call) -> Result<ObtainedSecret, CallError> {
        let answer = self.call(call, LONGEST_SECRET).await?;
        let answer::Answer::Secret(mut secret) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(ObtainedSecret {
            value: Zeroizing::new(std::mem::take(&mut secret.value)),
            username: Some(std::mem::take(&mut secret.username)).filter(|name| !name.is_empty()),
            version: secret.version,
        })
    }

    /// A certificate for the broker's key, given as DER of its `SubjectPublicKeyInfo`.
    pub async fn sign_intermediate(&self, public_key: Vec<u8>) -> Result<Intermediate, CallError> {
        let call = call::Call::SignIntermediate(SignIntermediate { public_key });
        let answer = self.call(call, LONGEST_CALL).await?;
        let answer::Answer::Intermediate(intermediate) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(intermediate)
    }

    /// Writes an event down; done when it is written.
    pub async fn record(&self, event: &Event) -> Result<Uuid, CallError> {
        let event = serde_json::to_string(event).map_err(CallError::Event)?;
        let answer = self.call(call::Call::Record(event), LONGEST_CALL).await?;
        let answer::Answer::Recorded(recorded) = answer else {
            return Err(CallError::Unexpected);
        };
        if recorded.id.is_empty() {
            return Err(CallError::UsedUp);
        }
        recorded.id.parse().map_err(|_| CallError::Unexpected)
    }

    /// Bytes that may be carried under a grant with a limit: as many as wanted, or as are left.
    pub(crate) async fn lease_bytes(&self, grant: &str, wanted: u64) -> Result<u64, CallError> {
        let call = call::Call::LeaseBytes(LeaseBytes {
            grant: grant.to_owned(),
            wanted,
        });
        let answer = self.call(call, LONGEST_CALL).await?;
        let answer::Answer::Leased(leased) = answer else {
            return Err(CallError::Unexpected);
        };
        // More than was asked for is nothing that was counted.
        Ok(leased.bytes.min(wanted))
    }

    /// Gives leased bytes back, without waiting for it.
    pub(crate) fn return_bytes_soon(&self, grant: &str, bytes: u64) {
        drop(self.send(call::Call::ReturnBytes(ReturnBytes {
            grant: grant.to_owned(),
            bytes,
        })));
    }

    /// Tells what a name that nothing grants is answered with; done when the node agent knows it.
    pub(crate) async fn observed(
        &self,
        name: &DnsName,
        addresses: &[IpAddr],
    ) -> Result<(), CallError> {
        let addresses = addresses.iter().map(|address| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        });
        let call = call::Call::Observed(Observed {
            name: name.to_string(),
            addresses: addresses.collect(),
        });
        let answer = self.call(call, LONGEST_CALL).await?;
        let answer::Answer::Noted(_) = answer else {
            return Err(CallError::Unexpected);
        };
        Ok(())
    }

    /// Hands an event over to be written down, in order, without waiting for it.
    pub fn record_soon(&self, event: &Event) {
        if let Some(call) = recorded(event) {
            drop(self.send(call));
        }
    }

    /// The same, with what is said next to the node agent, or in a moment: of an event that nobody acts on.
    pub(crate) fn record_with_next(&self, event: &Event) {
        if let Some(call) = recorded(event) {
            drop(self.send_with_next(call));
        }
    }
}

fn recorded(event: &Event) -> Option<call::Call> {
    match serde_json::to_string(event) {
        Ok(event) => Some(call::Call::Record(event)),
        Err(error) => {
            tracing::error!(%error, "an event is not representable");
            None
        }
    }
}

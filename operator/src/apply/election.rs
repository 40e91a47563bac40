//! Holds the Lease, or waits for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, api::PostParams, core::ObjectMeta};
use thiserror::Error;
use tokio::time::{error::Elapsed, timeout};
use tracing::{debug, info, warn};

use super::hub::Hub;
use crate::decide::lease::{DURATION, INTERVAL, Record, Step};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(3);

/// Why the Lease could not be read or written.
#[derive(Debug, Error)]
enum LeaseError {
    #[error("read or write the Lease: {0}")]
    Call(#[from] kube::Error),
    #[error("read or write the Lease: no answer in time")]
    Late(#[from] Elapsed),
}

/// Takes part in the election, for ever.
pub async fn take_part(hub: Arc<Hub>, api: Api<Lease>, name: String) {
    let mut led = false;
    loop {
        match turn(&hub, &api, &name).await {
            Ok(()) => {}
            // Somebody else was faster.
            Err(LeaseError::Call(kube::Error::Api(status))) if status.is_conflict() => {
                debug!("the Lease was written by another replica");
            }
            Err(error) => warn!(%error, "no part in the election"),
        }
        let mut leads = false;
        let mut dismissed = false;
        hub.with(|state, at| {
            state.note_leadership(at);
            leads = state.election.leads(at.steady);
            dismissed = state.election.other_leads(at.steady);
            BTreeSet::new()
        });
        if dismissed {
            hub.wake_all();
        }
        if leads != led {
            info!(leads, "the leader changed");
            led = leads;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn turn(hub: &Hub, api: &Api<Lease>, name: &str) -> Result<(), LeaseError> {
    let found = timeout(CALL, api.get_opt(name)).await??;
    hub.heard();
    let at = hub.now();
    let (step, me) = {
        let mut state = hub.state();
        let step = state
            .election
            .step(found.as_ref().map(record_of), at.steady);
        (step, state.election.me().to_owned())
    };
    let parameters = PostParams::default();
    match (step, found) {
        (Step::Wait, _) => return Ok(()),
        (Step::Create, _) => {
            let lease = written(name, None, &me, at.wall);
            timeout(CALL, api.create(&parameters, &lease)).await??;
        }
        (Step::Take | Step::Renew, found) => {
            let lease = written(name, found, &me, at.wall);
            timeout(CALL, api.replace(name, &parameters, &lease)).await??;
        }
    }
    hub.state().election.won(at.steady);
    Ok(())
}

/// Gives the Lease back, if this replica holds it, so that the next one need not wait.
pub async fn release(hub: &Hub, api: &Api<Lease>, name: &str) {
    let me = {
        let now = hub.now().steady;
        let mut state = hub.state();
        if !state.election.leads(now) {
            return;
        }
        state.election.released();
        state.election.me().to_owned()
    };
    let given_back = async {
        let found = api.get(name).await?;
        if record_of(&found).holder == me {
            let lease = written(name, Some(found), "", hub.now().wall);
            api.replace(name, &PostParams::default(), &lease).await?;
        }
        Ok::<(), kube::Error>(())
    };
    match timeout(CALL, given_back).await {
        Ok(Ok(())) => info!("the Lease was given back"),
        Ok(Err(error)) => warn!(%error, "the Lease was not given back"),
        Err(_) => warn!("the Lease was not given back in time"),
    }
}

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    // Each write makes another one, whatever it writes.
    let version = lease.metadata.resource_version.clone();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        renewed: version.unwrap_or_default(),
    }
}

/// The Lease, held by `holder`; a write of it fails when it was written since it was `found`.
fn written(name: &str, found: Option<Lease>, holder: &str, now: Timestamp) -> Lease {
    let old = found.as_ref().and_then(|lease| lease.spec.clone());
    let old = old.unwrap_or_default();
    let is_same = old.holder_identity.as_deref() == Some(holder);
    let metadata = found.map(|lease| lease.metadata);
    let transitions = old.lease_transitions.unwrap_or_default();
    Lease {
        metadata: metadata.unwrap_or_else(|| ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        }),
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if is_same {
                old.acquire_time
            } else {
                Some(MicroTime(now))
            },
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(if is_same {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..old
        }),
    }
}

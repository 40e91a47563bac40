//! Writes status, while this replica leads.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicObject},
};
use lanyard_crds::{
    access_grant::AccessGrant, agent_identity::AgentIdentity, credential_source::CredentialSource,
    kind::Kind, names::API_VERSION,
};
use serde_json::json;
use thiserror::Error;
use tokio::time::{error::Elapsed, sleep, timeout};
use tracing::warn;

use super::{events, hub::Hub, metrics::count};
use crate::decide::state::Write;

/// Whose fields they are.
pub const MANAGER: &str = "lanyard-operator";

/// Why a status was not written.
#[derive(Debug, Error)]
enum WriteError {
    #[error("apply the status: {0}")]
    Apply(#[from] kube::Error),
    #[error("apply the status: no answer in time")]
    Late(#[from] Elapsed),
}

/// Writes what waits, for ever. `me` is this replica, in events.
pub async fn write(hub: Arc<Hub>, client: Client, me: String) {
    loop {
        let changed = hub.changed.notified();
        let now = hub.now();
        let next = hub.state().next_write(now);
        let Some(write) = next else {
            tokio::select! {
                () = changed => {}
                () = sleep(Duration::from_millis(200)) => {}
            }
            continue;
        };
        let done = match apply(&client, &write).await {
            Ok(()) => {
                count(&hub.counters.writes);
                true
            }
            // Gone, or another life of it: the watch says so.
            Err(WriteError::Apply(kube::Error::Api(status)))
                if status.is_not_found() || status.is_conflict() =>
            {
                continue;
            }
            Err(error) => {
                count(&hub.counters.failed_writes);
                let (kind, key) = &write.subject;
                warn!(%kind, %key, %error, "a status was not written");
                false
            }
        };
        hub.with(|state, at| state.wrote(&write, done, at));
        if !done {
            sleep(Duration::from_secs(1)).await;
        } else if let Some(notice) = &write.event {
            events::tell(&client, &me, &write, notice, hub.now().wall).await;
        }
    }
}

async fn apply(client: &Client, write: &Write) -> Result<(), WriteError> {
    let (kind, key) = &write.subject;
    let resource = match kind {
        Kind::AgentIdentity => ApiResource::erase::<AgentIdentity>(&()),
        Kind::AccessGrant => ApiResource::erase::<AccessGrant>(&()),
        Kind::CredentialSource => ApiResource::erase::<CredentialSource>(&()),
    };
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), key.namespace.as_str(), &resource);
    // With the uid, so that what was said of one life of an object is not said of the next.
    let body = json!({
        "apiVersion": API_VERSION,
        "kind": kind.as_str(),
        "metadata": { "name": key.name, "namespace": key.namespace, "uid": write.uid },
        "status": write.status,
    });
    let parameters = PatchParams::apply(MANAGER).force();
    let patch = Patch::Apply(&body);
    let patched = api.patch_status(key.name.as_str(), &parameters, &patch);
    timeout(Duration::from_secs(5), patched).await??;
    Ok(())
}

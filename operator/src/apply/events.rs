//! Tells people what happened to an object of theirs.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use lanyard_crds::names::API_VERSION;
use tracing::debug;

use crate::decide::state::{Notice, Write};

/// The longest note of an event.
const LONGEST: usize = 1024;

/// Writes one event. What cannot be told is in the status all the same.
pub async fn tell(client: &Client, me: &str, write: &Write, notice: &Notice, now: Timestamp) {
    let event = event_of(me, write, notice, now);
    let api: Api<Event> = Api::namespaced(client.clone(), write.subject.1.namespace.as_str());
    let parameters = PostParams::default();
    let created = tokio::time::timeout(Duration::from_secs(5), api.create(&parameters, &event));
    match created.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(%error, "an event was not written"),
        Err(_) => debug!("an event was not written in time"),
    }
}

fn event_of(me: &str, write: &Write, notice: &Notice, now: Timestamp) -> Event {
    let (kind, key) = &write.subject;
    // Names of objects are longer than those of events may be with a suffix.
    let stem: String = key.name.as_str().chars().take(200).collect();
    let stem = stem.trim_end_matches(['.', '-']);
    let kind_of_event = if notice.is_warning {
        "Warning"
    } else {
        "Normal"
    };
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{stem}.{:x}", now.as_nanosecond())),
            namespace: Some(key.namespace.to_string()),
            ..ObjectMeta::default()
        },
        action: Some("Reconcile".into()),
        event_time: Some(MicroTime(now)),
        note: Some(notice.message.chars().take(LONGEST).collect()),
        reason: Some(notice.reason.clone()),
        regarding: Some(ObjectReference {
            api_version: Some(API_VERSION.into()),
            kind: Some(kind.to_string()),
            name: Some(key.name.to_string()),
            namespace: Some(key.namespace.to_string()),
            uid: Some(write.uid.to_string()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("lanyard.dev/operator".into()),
        reporting_instance: Some(me.chars().take(128).collect()),
        type_: Some(kind_of_event.into()),
        ..Event::default()
    }
}

//! Watches one kind.

use std::{fmt::Debug, pin::pin, sync::Arc};

use futures_util::StreamExt as _;
use kube::{
    Api, Client, Resource,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::{
    apply::hub::Hub,
    decide::{
        input::{Input, Seen},
        state::Source,
    },
};

/// Whether lists may be streamed: a server that does not know that never answers so that the watch goes on.
pub async fn can_stream_lists(client: &Client) -> kube::Result<bool> {
    let version = client.apiserver_version().await?;
    Ok(has_streaming_lists(&version.major, &version.minor))
}

/// On by default since 1.34 (on in 1.32 too, off in 1.33: `kube_features.go` of the API server).
fn has_streaming_lists(major: &str, minor: &str) -> bool {
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    major == "1" && minor.parse().is_ok_and(|minor: u32| minor >= 34)
}

/// Hands everything that is heard of one kind to the hub, for ever.
pub async fn watch<K>(
    hub: Arc<Hub>,
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    source: Source,
    input: fn(Seen<K>) -> Input,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        hub.note_watch(source, event.is_err());
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.push(object),
            Ok(Event::InitDone) => {
                hub.take(input(Seen::All(std::mem::take(&mut listed))), Some(source));
            }
            Ok(Event::Apply(object)) => hub.take(input(Seen::Now(object)), None),
            Ok(Event::Delete(object)) => hub.take(input(Seen::Gone(object)), None),
            Err(error) => warn!(?source, %error, "a watch broke and begins anew"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_streamed_only_where_the_server_can() {
        for (minor, can) in [
            ("33", false),
            ("34", true),
            ("36+", true),
            ("", false),
            ("32", false),
        ] {
            assert_eq!(has_streaming_lists("1", minor), can, "1.{minor}");
        }
    }
}

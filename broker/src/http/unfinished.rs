//! The requests of one connection that are under way, so that none outlasts its grant.
//!
//! At the end of a grant the connection to the service is cut, and each reply breaks off when it is next looked at.
//! That of a stream of HTTP/2 is looked at only when the agent takes more of it.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::{open_request::OpenRequest, scope::Scope};

/// How long a reply may take to break off when its service was cut off.
const MOVING: Duration = Duration::from_millis(100);

/// The requests that were begun, some of which are gone.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<Vec<Weak<OpenRequest>>>);

impl Unfinished {
    /// One more is begun.
    pub(super) fn add(&self, open: &Arc<OpenRequest>) {
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        requests.retain(|open| open.strong_count() > 0);
        requests.push(Arc::downgrade(open));
    }

    /// Returns when one is still open although its grant has ended.
    pub(super) async fn outlast_their_grant(&self, mut scope: watch::Receiver<Arc<Scope>>) {
        loop {
            if self.has_outlasted() {
                sleep(MOVING).await;
                if self.has_outlasted() {
                    return;
                }
            }
            if scope.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn has_outlasted(&self) -> bool {
        let requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = requests.iter().filter_map(Weak::upgrade);
        open.any(|open| !open.is_granted())
    }
}

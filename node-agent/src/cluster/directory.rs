//! Whose each pod of this node is, as the operator says.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use lanyard_access::object::ObjectKey;
use tokio::sync::watch;

use crate::scope::pod::PodUid;

/// The pods of this node.
pub(super) struct Directory {
    pods: RefCell<BTreeMap<PodUid, ObjectKey>>,
    /// How often it changed.
    changes: watch::Sender<u64>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            pods: RefCell::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Directory {
    /// A pod is that agent's.
    pub(super) fn put(&self, uid: PodUid, agent: ObjectKey) {
        self.pods.borrow_mut().insert(uid, agent);
        self.changed();
    }

    /// A pod is gone.
    pub(super) fn remove(&self, uid: &PodUid) {
        self.pods.borrow_mut().remove(uid);
        self.changed();
    }

    /// There are no other pods than these.
    pub(super) fn retain(&self, pods: &BTreeSet<PodUid>) {
        self.pods.borrow_mut().retain(|uid, _| pods.contains(uid));
        self.changed();
    }

    /// Whose a pod is, once that is known.
    pub(super) async fn agent_of(&self, uid: &PodUid) -> ObjectKey {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(agent) = self.pods.borrow().get(uid) {
                return agent.clone();
            }
            // Its sender lives as long as this directory.
            let _ = changes.changed().await;
        }
    }

    fn changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use std::{rc::Rc, time::Duration};

    use tokio::{task::LocalSet, time::timeout};

    use super::*;

    fn uid(number: u32) -> PodUid {
        format!("{number:08}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_before_it_is_known_waits_for_it() {
        let directory = Rc::new(Directory::default());
        let waiting = {
            let directory = Rc::clone(&directory);
            async move { directory.agent_of(&uid(1)).await }
        };
        let local = LocalSet::new();
        let waiting = local.spawn_local(waiting);
        local
            .run_until(async {
                directory.put(uid(2), "team/other".parse().unwrap());
                tokio::task::yield_now().await;
                assert!(!waiting.is_finished());
                directory.put(uid(1), "team/bot".parse().unwrap());
                assert_eq!(waiting.await.unwrap().to_string(), "team/bot");
            })
            .await;
        directory.retain(&[uid(2)].into());
        let gone = uid(1);
        let asked = timeout(Duration::from_secs(5), directory.agent_of(&gone));
        assert!(asked.await.is_err(), "it is gone");
        assert_eq!(directory.agent_of(&uid(2)).await.to_string(), "team/other");
    }
}

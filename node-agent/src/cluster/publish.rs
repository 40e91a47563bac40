//! Publishing a volume: a pod is fenced before the kubelet hears that it may start it.

use std::{path::PathBuf, rc::Rc, time::Duration};

use tokio::{sync::mpsc, task::spawn_local, time::timeout};
use tonic::Status;
use tracing::{info, warn};

use super::{
    directory::Directory,
    driver::{Ask, What},
    mounts,
    sidecars::Sidecars,
    volume::{self, Kind, Volume},
};
use crate::{
    kernel::clock::Moment,
    node::{NodeError, Shared},
};

/// How long a call waits for the operator to say whose the pod is, before the kubelet is told to ask again.
const TOLD: Duration = Duration::from_secs(5);

/// What volumes are published with.
pub(super) struct Publisher {
    /// The node.
    pub(super) node: Shared,
    /// What the operator has said of pods.
    pub(super) directory: Rc<Directory>,
    /// Where brokers are waited for.
    pub(super) sidecars: Rc<Sidecars>,
    /// The folder of the kubelet.
    pub(super) kubelet: PathBuf,
}

impl Publisher {
    /// Answers each ask, many at a time.
    pub(super) async fn answer_each(self: Rc<Self>, mut asks: mpsc::Receiver<Ask>) {
        while let Some(Ask { what, answer }) = asks.recv().await {
            let this = Rc::clone(&self);
            spawn_local(async move {
                let result = this.answer(what).await;
                if let Err(status) = &result {
                    info!(
                        code = %status.code(),
                        reason = status.message(),
                        "a volume was not published, or is still published"
                    );
                }
                // The kubelet hung up: it asks again.
                let _ = answer.send(result);
            });
        }
    }

    async fn answer(&self, what: What) -> Result<(), Status> {
        match what {
            What::Publish { context, target } => {
                let volume = Volume::of(&context, &target, &self.kubelet);
                let volume = volume.map_err(|error| Status::invalid_argument(error.to_string()))?;
                self.publish(volume).await
            }
            What::Unpublish { target } => self.unpublish(&target),
        }
    }

    async fn publish(&self, volume: Volume) -> Result<(), Status> {
        let uid = volume.pod.uid.clone();
        let known = timeout(TOLD, self.directory.agent_of(&uid)).await;
        let agent = known.map_err(|_| {
            Status::unavailable("the operator has not told this node of the pod yet")
        })?;
        let mut node = self.node.borrow_mut();
        if node.draining {
            let why = "enforcement on this node is being ended";
            return Err(Status::unavailable(why));
        }
        let registered = node.register_pod(volume.pod, agent, Moment::now());
        let id = registered.map_err(|error| failed("register the pod", &error))?;
        let is_fenced = node.is_pod_fenced(id);
        let is_fenced = is_fenced.map_err(|error| failed("fence the pod", &error))?;
        if !is_fenced {
            // The kubelet makes it before any container; it asks again (notes on NodePublishVolume of 1.36: its volume
            // manager runs beside the worker of the pod).
            return Err(Status::unavailable(
                "the kubelet has not made the cgroup of the pod yet",
            ));
        }
        let Some(scope) = node.scopes.get(&id) else {
            return Err(Status::unavailable("the pod is over"));
        };
        let folder = match volume.kind {
            Kind::Trust => scope.folder().to_owned(),
            Kind::Broker => {
                let folder = self.sidecars.expect(&self.node, id, &uid);
                folder.map_err(|error| Status::internal(error.to_string()))?
            }
        };
        drop(node);
        let shown = mounts::show(&folder, &volume.target);
        shown.map_err(|error| Status::internal(error.to_string()))
    }

    /// The pod is over with its last volume: a kubelet takes them away after the last container.
    fn unpublish(&self, target: &str) -> Result<(), Status> {
        let Some(uid) = volume::pod_of(target, &self.kubelet) else {
            return Err(Status::invalid_argument(format!(
                "no place of a volume of a pod: {target}"
            )));
        };
        let hidden = mounts::hide(target.as_ref());
        hidden.map_err(|error| Status::internal(error.to_string()))?;
        let places = volume::targets_of(&uid, &self.kubelet);
        let mut node = self.node.borrow_mut();
        let Some(id) = node.pod(&uid) else {
            return Ok(());
        };
        let folder = node.scopes.get(&id).map(|scope| scope.folder().to_owned());
        let own = [folder, Some(self.sidecars.folder(&uid))];
        let is_left = |place: &PathBuf| {
            let mut own = own.iter().flatten();
            own.any(|folder| mounts::is_shown(folder, place))
        };
        if !places.iter().any(is_left) {
            self.sidecars.forget(&uid);
            node.release_pod(&uid, Moment::now());
        }
        Ok(())
    }
}

fn failed(attempt: &str, error: &NodeError) -> Status {
    warn!(%error, attempt, "a pod is kept from starting");
    Status::unavailable(format!("{attempt}: {error}"))
}

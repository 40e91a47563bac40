//! What holds the processes of a scope together.

use super::{
    cgroup::{Cgroup, CgroupError},
    pod::{Pod, PodCgroup},
};

/// A cgroup, and whose it is.
#[derive(Debug, Clone)]
pub enum Fence {
    /// The scope's own, which the node agent makes and removes.
    Own(Cgroup),
    /// A pod's, which the kubelet makes and removes.
    Pod {
        /// The pod.
        pod: Pod,
        /// Where it is.
        cgroup: PodCgroup,
        /// Whether the kubelet has said that the pod is over.
        is_released: bool,
    },
}

impl Fence {
    /// Whether nothing of the scope runs, and nothing of it will.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Own(cgroup) => !cgroup.is_populated(),
            Self::Pod {
                cgroup,
                is_released,
                ..
            } => *is_released && !cgroup.is_populated(),
        }
    }

    /// Notes whether the kubelet has said that its pod is over. A kubelet may take that back: it publishes a volume again
    /// that it had unpublished.
    pub const fn set_released(&mut self, released: bool) {
        if let Self::Pod { is_released, .. } = self {
            *is_released = released;
        }
    }

    /// Whether the kubelet has said that its pod is over.
    pub const fn is_released(&self) -> bool {
        matches!(
            self,
            Self::Pod {
                is_released: true,
                ..
            }
        )
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        match self {
            Self::Own(cgroup) => cgroup.processes(),
            Self::Pod { cgroup, .. } => cgroup.processes(),
        }
    }

    /// The scope's own cgroup.
    pub const fn own(&self) -> Option<&Cgroup> {
        match self {
            Self::Own(cgroup) => Some(cgroup),
            Self::Pod { .. } => None,
        }
    }

    /// The pod whose it is.
    pub const fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Own(_) => None,
            Self::Pod { pod, .. } => Some(pod),
        }
    }

    /// Removes what the node agent made; it must be empty.
    pub fn remove(&self) -> Result<(), CgroupError> {
        match self {
            Self::Own(cgroup) => cgroup.remove(),
            Self::Pod { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_over_when_the_kubelet_says_so_and_not_when_it_takes_that_back() {
        let root = tempfile::tempdir().unwrap();
        let pod = Pod {
            uid: "0f6e8d5a-6f0e-4a57-9d1c-1f2b3c4d5e6f".parse().unwrap(),
            namespace: "payments".parse().unwrap(),
            name: "agent-0".parse().unwrap(),
        };
        let mut fence = Fence::Pod {
            cgroup: PodCgroup::of(&pod.uid, root.path()),
            pod,
            is_released: false,
        };
        assert!(!fence.is_over(), "nothing of it runs yet");
        fence.set_released(true);
        assert!(fence.is_over());
        fence.set_released(false);
        assert!(!fence.is_over(), "it is to start after all");
    }
}

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

//! Pods and their containers: cgroups that a container runtime makes, and the kernel programs mark.

use crate::plain::plain;

/// The most bytes of a cgroup's own name that are compared; a pod's is shorter in every layout that the kubelet has.
pub const CGROUP_NAME: usize = 96;

/// Values of `CONTAINER`, by cgroup id.
pub mod container {
    /// The cgroup of a container whose first process has executed nothing yet.
    pub const FRESH: u32 = 0;
    /// The cgroup of a container that has begun: nothing that comes into it from outside is its root any more.
    pub const BEGUN: u32 = 1;
    /// The cgroup of a whole pod: what is made in it is a container's.
    pub const POD: u32 = 2;
}

plain! {
    /// Key of `BROKER_PORT`: a port belongs to a broker where that broker listens.
    pub struct BrokerPort {
        /// The network namespace's cookie (`SO_NETNS_COOKIE`).
        pub namespace: u64,
        /// In network order.
        pub port: u32,
        /// 0, so that the size is whole.
        pub reserved: u32,
    }
}

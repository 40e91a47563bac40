//! What Lanyard's parts write on pods and namespaces of a cluster, and know each other's work by.

/// The label by which pods ask for the broker: of a namespace for all of its pods, or of one pod.
pub const INJECT: &str = "lanyard.dev/inject";
/// The value of [`INJECT`] that asks for it.
pub const INJECT_ENABLED: &str = "enabled";
/// The value of the annotation [`INJECT`] of a pod that wants none, where policy lets it.
pub const INJECT_DISABLED: &str = "disabled";

/// The label of a pod with the name of its `AgentIdentity`, which admission decides and nothing changes afterwards.
pub const IDENTITY: &str = "lanyard.dev/identity";
/// The annotation of a pod that says what was put into it: the hex SHA-256 of that.
pub const INJECTED: &str = "lanyard.dev/injected";
/// The annotation of a pod with the user who created its top-level workload.
pub const CREATED_BY: &str = "lanyard.dev/created-by";
/// The annotation of an object with the user who asked for it.
pub const REQUESTED_BY: &str = "lanyard.dev/requested-by";
/// The annotation of an object with the groups of the user who asked for it, as a JSON array of texts: what is
/// asked about that user later is asked about the groups too.
pub const REQUESTER_GROUPS: &str = "lanyard.dev/requester-groups";

/// The name of the CSI driver, which is the node agent.
pub const DRIVER: &str = "csi.lanyard.dev";
/// The volume attribute that says which volume is meant.
pub const VOLUME_KIND: &str = "lanyard.dev/volume";
/// The value of [`VOLUME_KIND`] of what every container trusts.
pub const TRUST: &str = "trust";
/// The value of [`VOLUME_KIND`] of the socket to the node agent.
pub const BROKER: &str = "broker";

/// The name of the volume with what every container trusts, and where each container mounts it.
pub const TRUST_VOLUME: (&str, &str) = ("lanyard-trust", "/run/lanyard/trust");
/// The name of the volume with the socket to the node agent, and where the broker alone mounts it.
pub const BROKER_VOLUME: (&str, &str) = ("lanyard-broker", "/run/lanyard/broker");
/// The socket in that volume.
pub const BROKER_SOCKET: &str = "/run/lanyard/broker/node.sock";
/// The name of the broker's container.
pub const BROKER_CONTAINER: &str = "lanyard-broker";

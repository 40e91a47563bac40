//! As much of a pod as the operator reads; the rest is dropped when it is decoded.

use k8s_openapi::api::core::v1::Pod as WholePod;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

/// A pod.
#[derive(Resource, Debug, Clone, Default, Deserialize)]
#[resource(inherit = WholePod)]
pub struct Pod {
    /// Names, labels and annotations.
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: PodSpec,
    /// What became of it.
    #[serde(default)]
    pub status: PodStatus,
}

/// What was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Its node, once it has one.
    pub node_name: Option<String>,
    /// Whom it runs as.
    pub service_account_name: Option<String>,
    /// Its containers.
    pub containers: Vec<Container>,
    /// Those that run before, or beside as sidecars.
    pub init_containers: Vec<Container>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
}

/// A container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The ports it declares.
    pub ports: Vec<ContainerPort>,
}

/// A declared port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Its number.
    pub container_port: i64,
    /// TCP when absent.
    pub protocol: Option<String>,
}

/// A volume.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// With a CSI driver of its own.
    pub csi: Option<CsiVolume>,
}

/// A volume of a CSI driver.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CsiVolume {
    /// The name of the driver.
    pub driver: String,
}

/// What became of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: Option<String>,
}

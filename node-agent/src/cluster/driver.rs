//! The CSI driver: a kubelet asks over gRPC, and the node answers on its own thread.

use std::collections::HashMap;

use lanyard_access::pod as names;
use lanyard_protocol::kubelet::{
    csi::{
        GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
        GetPluginInfoResponse, NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse,
        NodeGetInfoRequest, NodeGetInfoResponse, NodePublishVolumeRequest,
        NodePublishVolumeResponse, NodeUnpublishVolumeRequest, NodeUnpublishVolumeResponse,
        ProbeRequest, ProbeResponse, identity_server::Identity, node_server::Node,
    },
    registration::{
        InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
        registration_server::Registration,
    },
};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};
use tracing::{error, info};

/// The most that may wait for the node at once: a kubelet publishes a few volumes of each pod at a time.
pub(super) const WAITING: usize = 1024;

/// What a kubelet wants of the node, and where its answer goes.
pub(super) struct Ask {
    /// What.
    pub(super) what: What,
    /// The answer.
    pub(super) answer: oneshot::Sender<Result<(), Status>>,
}

/// What a kubelet wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A volume at a place.
    Publish {
        /// What it says of it.
        context: HashMap<String, String>,
        /// The place.
        target: String,
    },
    /// No volume at a place any more.
    Unpublish {
        /// The place.
        target: String,
    },
}

/// The driver, as each connection has it.
#[derive(Clone)]
pub(super) struct Driver {
    /// The name of the node.
    pub(super) node: String,
    /// Where the driver is served.
    pub(super) endpoint: String,
    /// To the node.
    pub(super) asks: mpsc::Sender<Ask>,
}

impl Driver {
    async fn ask(&self, what: What) -> Result<(), Status> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask { what, answer };
        let gone = || Status::unavailable("the node agent is ending");
        self.asks.send(ask).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: names::DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        Ok(Response::new(GetPluginCapabilitiesResponse {}))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse {}))
    }
}

#[tonic::async_trait]
impl Node for Driver {
    async fn node_publish_volume(
        &self,
        request: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let NodePublishVolumeRequest {
            volume_context,
            target_path,
            ..
        } = request.into_inner();
        let what = What::Publish {
            context: volume_context,
            target: target_path,
        };
        self.ask(what).await?;
        Ok(Response::new(NodePublishVolumeResponse {}))
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let target = request.into_inner().target_path;
        self.ask(What::Unpublish { target }).await?;
        Ok(Response::new(NodeUnpublishVolumeResponse {}))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        Ok(Response::new(NodeGetCapabilitiesResponse {}))
    }

    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.node.clone(),
        }))
    }
}

#[tonic::async_trait]
impl Registration for Driver {
    async fn get_info(&self, _: Request<InfoRequest>) -> Result<Response<PluginInfo>, Status> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: names::DRIVER.to_owned(),
            endpoint: self.endpoint.clone(),
            // Of the interface, not of the driver (kubelet, csi_plugin.go: validateVersions).
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> Result<Response<RegistrationStatusResponse>, Status> {
        let status = request.into_inner();
        if status.plugin_registered {
            info!("the kubelet knows the volume driver");
        } else {
            error!(
                reason = status.error,
                "the kubelet does not take the volume driver"
            );
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}

//! An operator that says what a test has it say, to the nodes that come with the right certificate: for what a node does
//! with each thing that may be said.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result};
use lanyard_protocol::nodes::{
    Delta, FromNode, ToNode,
    wire::{
        self,
        nodes_server::{Nodes, NodesServer},
    },
};
use tokio::{runtime::Runtime, sync::watch};
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use crate::node_keys::NodeKeys;

/// How often it beats.
const BEAT: Duration = Duration::from_secs(2);

/// The operator. It ends when this is dropped, and whoever follows it hears no more.
pub struct Spoken {
    says: watch::Sender<Option<Delta>>,
    heard: Arc<Mutex<Vec<FromNode>>>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl Spoken {
    /// Listens at a free port of `address`. What a node needs to follow it is written into `folder`.
    pub fn start(address: IpAddr, folder: &Path) -> Result<Self> {
        let keys = NodeKeys::make(address)?;
        keys.write_node(folder)?;
        let (says, _) = watch::channel(None);
        let heard = Arc::default();
        let service = Service {
            says: says.subscribe(),
            heard: Arc::clone(&heard),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener =
            std::net::TcpListener::bind((address, 0)).context("listen as an operator")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(keys.server.0, keys.server.1))
            .client_ca_root(Certificate::from_pem(&keys.root));
        let guard = runtime.enter();
        let incoming = tonic::transport::server::TcpIncoming::from(
            tokio::net::TcpListener::from_std(listener)?,
        );
        drop(guard);
        let server = Server::builder()
            .tls_config(tls)?
            .add_service(NodesServer::new(service))
            .serve_with_incoming(incoming);
        runtime.spawn(server);
        Ok(Self {
            says,
            heard,
            address,
            _runtime: runtime,
        })
    }

    /// Where it is followed.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Says something to whoever follows, and to whoever comes.
    pub fn say(&self, delta: Delta) {
        self.says.send_replace(Some(delta));
    }

    /// What nodes have said, from the beginning.
    pub fn heard(&self) -> Vec<FromNode> {
        self.heard
            .lock()
            .map(|heard| heard.clone())
            .unwrap_or_default()
    }
}

struct Service {
    says: watch::Receiver<Option<Delta>>,
    heard: Arc<Mutex<Vec<FromNode>>>,
}

#[tonic::async_trait]
impl Nodes for Service {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<wire::ToNode, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<Streaming<wire::FromNode>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let mut incoming = request.into_inner();
        let heard = Arc::clone(&self.heard);
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                if let (Ok(message), Ok(mut heard)) = (FromNode::decode(message), heard.lock()) {
                    heard.push(message);
                }
            }
        });
        let said = WatchStream::new(self.says.clone()).filter_map(|said| said);
        let said = said.map(|delta| ToNode::Delta(delta).encode());
        let beats = tokio_stream::wrappers::IntervalStream::new(tokio::time::interval(BEAT));
        let beats = beats.map(|_| ToNode::Beat.encode());
        Ok(Response::new(Box::pin(said.merge(beats).map(Ok))))
    }
}

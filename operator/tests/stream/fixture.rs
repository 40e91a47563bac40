//! An operator without an API server, and nodes that follow it.

use std::{
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use lanyard_operator::{
    apply::{
        hub::Hub,
        server::{self, Service},
        tls::Tls,
    },
    decide::{
        input::{Input, Moment, Seen},
        lease::Record,
        state::{Source, State},
    },
};
use lanyard_protocol::nodes::{
    Delta, FromNode, Hello, ResumePoint, ToNode,
    wire::{self, nodes_client::NodesClient},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

use crate::certificates::{Authority, Pair};

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Fixture {
    pub(crate) hub: Arc<Hub>,
    pub(crate) authority: Authority,
    tls: Arc<Tls>,
    address: SocketAddr,
    folder: TempDir,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test is its own outermost loop"
)]
fn clock() -> Moment {
    Moment::new(Timestamp::now(), Instant::now())
}

pub(crate) fn hello(resume: Option<ResumePoint>) -> FromNode {
    FromNode::Hello(Hello {
        version: "0.1.0".into(),
        protocol: lanyard_protocol::NODES_PROTOCOL,
        resume,
    })
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let state = State::new("example.org".parse().unwrap(), 7, "me".into());
        let hub = Hub::new(state, clock);
        hub.take(
            Input::Identities(Seen::All(Vec::new())),
            Some(Source::Identities),
        );
        hub.take(Input::Grants(Seen::All(Vec::new())), Some(Source::Grants));
        hub.take(
            Input::Credentials(Seen::All(Vec::new())),
            Some(Source::Credentials),
        );
        hub.take(Input::Pods(Seen::All(Vec::new())), Some(Source::Pods));
        let heard = hub.clone();
        tokio::spawn(async move {
            loop {
                heard.heard();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        write(&folder, &authority);
        let tls = Arc::new(Tls::load(folder.path(), &folder.path().join("bundle.pem")).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service::new(hub.clone());
        let service = service.with_rhythm(Duration::from_millis(200), PATIENCE);
        let domain = "example.org".parse().unwrap();
        let served = server::serve(
            service,
            listener,
            tls.clone(),
            domain,
            std::future::pending(),
        );
        tokio::spawn(served);
        Self {
            hub,
            authority,
            tls,
            address,
            folder,
        }
    }

    /// An identity, and a pod of it.
    pub(crate) fn agent(&self, name: &str, node: &str) {
        let identity = json!({
            "apiVersion": "lanyard.dev/v1alpha1", "kind": "AgentIdentity",
            "metadata": { "name": name, "namespace": "team", "uid": name, "generation": 1 },
            "spec": { "workloadSelector": {} },
        });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "team", "uid": name,
                "labels": { "lanyard.dev/identity": name },
            },
            "spec": { "nodeName": node, "containers": [{ "name": "agent" }] },
        });
        let identity = DeserializeGuard(Ok(serde_json::from_value(identity).unwrap()));
        self.hub.take(Input::Identities(Seen::Now(identity)), None);
        let pod = DeserializeGuard(Ok(serde_json::from_value(pod).unwrap()));
        self.hub.take(Input::Pods(Seen::Now(pod)), None);
    }

    pub(crate) fn other_leads(&self) {
        self.hub.with(|state, at| {
            let record = Record {
                holder: "other".into(),
                renewed: "1".into(),
            };
            state.election.step(Some(record), at.steady);
            state.note_leadership(at);
        });
        self.hub.wake_all();
    }

    pub(crate) fn rotate(&self, authority: &Authority) {
        write(&self.folder, authority);
        assert!(self.tls.reload().unwrap());
        assert!(!self.tls.reload().unwrap());
    }

    pub(crate) async fn until(&self, holds: impl Fn(&State) -> bool) {
        let wait = async {
            while !holds(&self.hub.state()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap();
    }

    pub(crate) async fn follow(&self, node: &str, first: FromNode) -> Result<Node, Status> {
        let id = format!("spiffe://example.org/lanyard/node/{node}");
        self.follow_as(&self.authority.issue(&[&id]), first).await
    }

    pub(crate) async fn follow_as(&self, pair: &Pair, first: FromNode) -> Result<Node, Status> {
        self.follow_trusting(pair, &self.authority, first).await
    }

    pub(crate) async fn follow_trusting(
        &self,
        pair: &Pair,
        authority: &Authority,
        first: FromNode,
    ) -> Result<Node, Status> {
        let identity = Identity::from_pem(&pair.certificate, &pair.key);
        self.connect(trusting(authority).identity(identity), first)
            .await
    }

    pub(crate) async fn follow_without_certificate(&self, first: FromNode) -> Result<Node, Status> {
        self.connect(trusting(&self.authority), first).await
    }

    async fn connect(&self, tls: ClientTlsConfig, first: FromNode) -> Result<Node, Status> {
        let refused = |error: tonic::transport::Error| Status::unknown(format!("{error:?}"));
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        let channel = endpoint
            .tls_config(tls)
            .unwrap()
            .connect()
            .await
            .map_err(refused)?;
        let (sender, receiver) = mpsc::channel(64);
        sender.send(first.encode()).await.unwrap();
        let mut client = NodesClient::new(channel);
        let told = client.follow(ReceiverStream::new(receiver)).await?;
        Ok(Node {
            said: sender,
            told: told.into_inner(),
        })
    }
}

fn trusting(authority: &Authority) -> ClientTlsConfig {
    let certificate = Certificate::from_pem(&authority.certificate);
    ClientTlsConfig::new()
        .ca_certificate(certificate)
        .domain_name("lanyard-operator")
}

fn write(folder: &TempDir, authority: &Authority) {
    let pair = authority.issue_server();
    fs::write(folder.path().join("tls.crt"), pair.certificate).unwrap();
    fs::write(folder.path().join("tls.key"), pair.key).unwrap();
    fs::write(folder.path().join("bundle.pem"), &authority.certificate).unwrap();
}

/// A node that follows.
pub(crate) struct Node {
    said: mpsc::Sender<wire::FromNode>,
    told: Streaming<wire::ToNode>,
}

impl Node {
    pub(crate) async fn next(&mut self) -> Result<ToNode, Status> {
        let next = tokio::time::timeout(PATIENCE, self.told.message())
            .await
            .unwrap()?;
        Ok(ToNode::decode(next.expect("the stream goes on")).unwrap())
    }

    pub(crate) async fn delta(&mut self) -> Delta {
        loop {
            if let ToNode::Delta(delta) = self.next().await.unwrap() {
                return delta;
            }
        }
    }

    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(end) = self.next().await {
                return end;
            }
        }
    }

    pub(crate) async fn say(&self, message: &FromNode) {
        self.said.send(message.encode()).await.unwrap();
    }
}

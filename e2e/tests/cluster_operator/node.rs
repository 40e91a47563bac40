//! What a node agent does as a follower, and who vouches for it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use lanyard_protocol::{
    NODES_PROTOCOL,
    nodes::{
        Base, FromNode, Hello, NodeAgent, ToNode,
        wire::{self, nodes_client::NodesClient},
    },
};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

use crate::PATIENCE;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub(crate) fn issue_server(&self) -> (String, String) {
        let name = SanType::DnsName("lanyard-operator".try_into().unwrap());
        self.issue(name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, name: SanType, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        (certificate, key.serialize_pem())
    }
}

/// A node that follows, and acknowledges what it hears.
pub(crate) struct Node {
    pub(crate) name: String,
    runtime: Runtime,
    said: mpsc::Sender<wire::FromNode>,
    told: Streaming<wire::ToNode>,
    agents: BTreeMap<String, NodeAgent>,
    version: u64,
}

impl Node {
    pub(crate) fn follow(authority: &Authority, operator: SocketAddr, name: &str) -> Self {
        Self::try_follow(authority, operator, name).unwrap()
    }

    /// A replica sends nodes on while another one leads.
    pub(crate) fn follow_until_taken(
        authority: &Authority,
        operator: SocketAddr,
        name: &str,
    ) -> Self {
        let what = "the other replica takes the node";
        lanyard_e2e::wait::until(what, PATIENCE, || {
            Ok(Self::try_follow(authority, operator, name).ok())
        })
        .unwrap()
    }

    fn try_follow(
        authority: &Authority,
        operator: SocketAddr,
        name: &str,
    ) -> Result<Self, tonic::Status> {
        let id = format!("spiffe://example.org/lanyard/node/{name}");
        let id = SanType::URI(id.as_str().try_into().unwrap());
        let (certificate, key) = authority.issue(id, ExtendedKeyUsagePurpose::ClientAuth);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&authority.certificate))
            .domain_name("lanyard-operator")
            .identity(Identity::from_pem(certificate, key));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (said, receiver) = mpsc::channel(64);
        let hello = FromNode::Hello(Hello {
            version: "0.1.0".into(),
            protocol: NODES_PROTOCOL,
            resume: None,
        });
        let told = runtime.block_on(async {
            said.send(hello.encode()).await.unwrap();
            let endpoint = Channel::from_shared(format!("https://{operator}")).unwrap();
            let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
            let told = NodesClient::new(channel)
                .follow(ReceiverStream::new(receiver))
                .await?;
            Ok::<_, tonic::Status>(told.into_inner())
        })?;
        let mut node = Self {
            name: name.into(),
            runtime,
            said,
            told,
            agents: BTreeMap::new(),
            version: 0,
        };
        node.until("the first delta comes", |node| node.version > 0);
        Ok(node)
    }

    /// What it knows, after everything that has come.
    pub(crate) fn agents(&mut self) -> &BTreeMap<String, NodeAgent> {
        while self.listen(Duration::from_millis(50)) {}
        &self.agents
    }

    pub(crate) fn has_grant(&self, key: &str) -> bool {
        let grants = self.agents.values().flat_map(|agent| &agent.desired.grants);
        grants.into_iter().any(|grant| grant.key.to_string() == key)
    }

    /// Listens until something is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&mut Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
            self.listen(Duration::from_millis(100));
        }
    }

    /// Whether something came.
    fn listen(&mut self, limit: Duration) -> bool {
        let told = &mut self.told;
        let next = self
            .runtime
            .block_on(async { tokio::time::timeout(limit, told.message()).await });
        let Ok(next) = next else {
            return false;
        };
        let next = next.unwrap().expect("the stream goes on");
        let ToNode::Delta(delta) = ToNode::decode(next).unwrap() else {
            return false;
        };
        match delta.base {
            Base::Nothing => self.agents.clear(),
            Base::Version(base) => assert_eq!(base, self.version, "a gap"),
        }
        for key in delta.gone_agents {
            self.agents.remove(&key.to_string());
        }
        let agents = delta.agents.into_iter();
        self.agents
            .extend(agents.map(|(key, agent)| (key.to_string(), agent)));
        self.version = delta.version;
        let word = FromNode::Acknowledged(self.version).encode();
        self.runtime.block_on(self.said.send(word)).unwrap();
        true
    }
}

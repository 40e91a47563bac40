//! A broker in this process, with everything it meets: node agent, kernel's tags, service.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use lanyard_broker::{
    agent,
    broker::{Broker, Tags},
    clock,
    handover::{Handover, Listeners},
    resolver::Families,
    scope::Scope,
    server,
};
use lanyard_node_agent_abi::{
    grant::carrier,
    process::level,
    tag::{Tag, side},
};
use lanyard_protocol::broker::{
    BearerInjection, Grant, Injection, Level, NameBinding, Protocol, ScopeState, injection::Way,
};
use tokio::{
    net::{TcpSocket, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    authority::Authority,
    client::Client,
    node_agent::{Image, NodeAgent},
    service::Service,
};

/// The one name of the scope, which the machine's resolver knows.
pub(crate) const NAME: &str = "localhost";
pub(crate) const VIRTUAL: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
pub(crate) const SECRET: &str = "sk-live-0123456789/abcdef+?";
/// An image that is the agent, and one that is not known yet.
pub(crate) const ATTESTED: u64 = 1;
pub(crate) const UNKNOWN: u64 = 2;

pub(crate) struct World {
    pub agent: NodeAgent,
    pub service: Service,
    pub root: Arc<Authority>,
    pub dns: SocketAddr,
    pub(crate) state: ScopeState,
    scope: watch::Receiver<Arc<Scope>>,
    tcp: SocketAddr,
    tags: TestTags,
    /// The link, and what serves.
    pub(crate) linked: JoinSet<String>,
    pub(crate) serving: JoinSet<String>,
    pub(crate) broker: Arc<Broker>,
}

/// The kernel's part: tags by the client's own address.
#[derive(Clone, Default)]
struct TestTags(Arc<Mutex<BTreeMap<SocketAddr, Tag>>>);

impl Tags for TestTags {
    fn tag(&self, stream: &TcpStream) -> Option<Tag> {
        let peer = stream.peer_addr().ok()?;
        self.0.lock().unwrap().get(&peer).copied()
    }
}

/// Nothing in a test takes longer than this, or it has failed.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(30), work)
        .await
        .expect("nothing more happened")
}

fn boot_nanos(after: SignedDuration) -> u64 {
    let end = (clock::boot_now() + after).duration_since(Timestamp::UNIX_EPOCH);
    u64::try_from(end.as_nanos()).unwrap()
}

impl World {
    /// With one grant with a credential, for HTTPS to [`NAME`], which demands the highest level.
    pub(crate) async fn start() -> Self {
        let root = Arc::new(Authority::new("root of the scope"));
        let trusted = Authority::new("authority of the service");
        let service = Service::start(&trusted, NAME).await;
        let state = ScopeState {
            scope: "7".into(),
            agent: "default/bot".into(),
            agent_uid: "u0".into(),
            grants: vec![https_grant(service.address.port(), trusted.pem())],
            names: vec![NameBinding {
                name: NAME.into(),
                v4: VIRTUAL.octets().to_vec(),
                v6: vec![0xfd; 16],
            }],
            uid: 1000,
            ..ScopeState::default()
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let agent = NodeAgent::start(theirs, Arc::clone(&root), state.clone());
        agent.set(|knowledge| {
            knowledge.secret = Some(SECRET.into());
            knowledge
                .images
                .insert(ATTESTED, Image::Attested(Level::Image));
        });
        let tags = TestTags::default();
        let v4 = Listeners {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            dns: UdpSocket::bind("127.0.0.1:0").unwrap(),
        };
        v4.tcp.set_nonblocking(true).unwrap();
        v4.dns.set_nonblocking(true).unwrap();
        let (tcp, dns) = (v4.tcp.local_addr().unwrap(), v4.dns.local_addr().unwrap());
        let (link_agent, link, scope) = agent::connect(ours.into_std().unwrap()).await.unwrap();
        let kernel = Box::new(tags.clone());
        let broker = Broker::new(link_agent, scope.subscribe(), kernel, Families::V4).unwrap();
        let broker = Arc::new(broker);
        let mut linked = JoinSet::new();
        linked.spawn(async { link.run().await.to_string() });
        let known = scope.subscribe();
        let serve = server::serve(Arc::clone(&broker), Handover { v4, v6: None }, scope);
        let mut serving = JoinSet::new();
        serving.spawn(async { serve.await.to_string() });
        Self {
            agent,
            service,
            root,
            dns,
            state,
            scope: known,
            tcp,
            tags,
            linked,
            serving,
            broker,
        }
    }

    /// Changes what the node agent says of the scope, says it, and waits until the broker knows.
    pub(crate) async fn change(&mut self, change: impl FnOnce(&mut ScopeState)) {
        change(&mut self.state);
        self.scope.mark_unchanged();
        self.agent.send_state(self.state.clone());
        self.scope.changed().await.unwrap();
    }

    pub(crate) async fn revoke(&mut self) {
        self.change(|state| state.grants.clear()).await;
    }

    pub(crate) async fn end_grant_after(&mut self, after: SignedDuration) {
        self.change(|state| state.grants[0].ends_at_boot_ns = boot_nanos(after))
            .await;
    }

    /// What the kernel remembers of a connection that is granted.
    pub(crate) fn tag(&self) -> Tag {
        Tag {
            exec_id: ATTESTED,
            held_until: boot_nanos(SignedDuration::from_secs(20)),
            address: VIRTUAL.to_ipv6_mapped().octets(),
            port: self.service.address.port().to_be(),
            carrier: carrier::BROKER,
            level: level::IMAGE,
            side: side::BROKER,
            protocol: 6,
            ..Tag::ZERO
        }
    }

    pub(crate) fn held_tag(&self, exec_id: u64) -> Tag {
        Tag {
            exec_id,
            carrier: carrier::HOLD,
            level: level::NONE,
            ..self.tag()
        }
    }

    /// A connection with that tag, or with none.
    pub(crate) async fn connect(&self, tag: Option<Tag>) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind((IpAddr::V4(Ipv4Addr::LOCALHOST), 0).into())
            .unwrap();
        if let Some(tag) = tag {
            let address = socket.local_addr().unwrap();
            self.tags.0.lock().unwrap().insert(address, tag);
        }
        socket.connect(self.tcp).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with(self.tag()).await
    }

    pub(crate) async fn client_with(&self, tag: Tag) -> Client {
        let stream = self.connect(Some(tag)).await;
        Client::handshake(stream, &self.root, NAME, true)
            .await
            .unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.host())
    }

    pub(crate) fn host(&self) -> String {
        format!("{NAME}:{}", self.service.address.port())
    }
}

/// How a credential is put in.
#[expect(clippy::unnecessary_wraps, reason = "the field of a grant is optional")]
pub(crate) fn injected(way: Way) -> Option<Injection> {
    Some(Injection { way: Some(way) })
}

fn https_grant(port: u16, ca_bundle: String) -> Grant {
    Grant {
        key: "default/api".into(),
        uid: "u1".into(),
        spec_hash: vec![7; 32],
        requires: Level::Image.into(),
        host: NAME.into(),
        port: port.into(),
        protocol: Protocol::Https.into(),
        allow_private: true,
        ca_bundle,
        credential: "default/token".into(),
        injection: injected(Way::Bearer(BearerInjection {})),
        ends_at_boot_ns: boot_nanos(SignedDuration::from_hours(1)),
        passthrough: false,
        mcp: None,
        max_uses: 0,
        max_bytes: 0,
        http: Vec::new(),
        conditions: Vec::new(),
    }
}

/// A grant for TCP to an address.
pub(crate) fn tcp_grant(address: SocketAddr) -> Grant {
    Grant {
        key: "default/tcp".into(),
        host: address.ip().to_string(),
        port: address.port().into(),
        protocol: Protocol::Tcp.into(),
        credential: String::new(),
        injection: None,
        ca_bundle: String::new(),
        uid: "u2".into(),
        ..https_grant(1, String::new())
    }
}

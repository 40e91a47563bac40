//! One accepted connection: who made it, and where to.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lanyard_access::{
    decide::{Asks, Decision, Request, decide},
    evidence::EvidenceLevel,
    grant::Protocol,
    host::{DnsName, Host},
    port::Port,
    reason::{AttestationReason, ConnectionReason},
};
use lanyard_node_agent_abi::{
    grant::carrier, process::level, tag::Tag, virtual_address::is_virtual,
};
use lanyard_protocol::{
    broker::{Attestation, Level},
    granted::from_boot_nanos,
    record::{Event, Process, Transport},
};
use rustix::net::ipproto;
use rustls::server::Acceptor;
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::LazyConfigAcceptor;

use crate::{
    agent::CallError,
    broker::{Broker, Permit},
    carriage::{Carriage, Offered, Step},
    clock,
    http::{self, Wire},
    interception::InterceptionError,
    resolver,
    socket::Socket,
    splice::{self, Splice},
    upstream::UpstreamError,
};

/// How long a process may take to be attested. The kernel's tag may allow less.
const ATTESTATION: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Who made a connection, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// The process, as records show it.
    pub process: Process,
    /// How well it is known.
    pub level: EvidenceLevel,
    /// Where it wanted to go.
    pub address: IpAddr,
    /// On which port.
    pub port: Port,
}

impl Client {
    /// Where it wanted to go.
    pub(crate) fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port.get())
    }
}

/// Why a connection is closed without more.
#[derive(Debug, Error)]
pub(crate) enum ConnectionError {
    /// The kernel's tag is not one of a connection that the broker carries.
    #[error("the tag is not that of a connection to carry")]
    Tag,
    /// The node agent did not say who it is.
    #[error("learn who connected: {0}")]
    Attestation(CallError),
    /// What it said is not understood.
    #[error("understand who connected: {0}")]
    Process(serde_json::Error),
    /// Refused; it is recorded.
    #[error("refused: {0}")]
    Refused(ConnectionReason),
    /// It could not be recorded, and nothing is done without a record.
    #[error("record the connection: {0}")]
    Record(CallError),
    /// There is no certificate for the name.
    #[error("{0}")]
    Interception(#[from] InterceptionError),
    /// The service was not reached; it is recorded.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// The client did not name the host it connected to.
    #[error("the client's TLS names another host than the one it connected to, or none")]
    ServerName,
    /// TLS, HTTP or the socket failed.
    #[error("{0}")]
    Stream(#[from] io::Error),
}

/// Carries a connection to its end.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    stream: TcpStream,
    tag: Tag,
    permit: Permit,
) -> Result<(), ConnectionError> {
    if u32::from(tag.protocol) != ipproto::TCP.as_raw().get() {
        return Err(ConnectionError::Tag);
    }
    if tag.carrier == carrier::RESOLVER {
        return Ok(resolver::service::serve_stream(&broker, stream).await?);
    }
    // Closing resets (tcp(7)): the kernel lets no other end of a refused one through.
    stream.set_zero_linger()?;
    let client = identify(&broker, &tag).await?;
    let name = broker.scope().names.name(client.address).cloned();
    match name {
        Some(name) => to_name(broker, stream, client, name, permit).await,
        // It was held: the first packet after the attestation makes its tag a broker's.
        None if !is_virtual(&tag.address) => {
            let host = Host::Address(client.address);
            splice::serve(&broker, stream, &client, &host, Splice::Held).await
        }
        None => Err(refuse(&broker, &client, ConnectionReason::NoGrant).await),
    }
}

/// Carries a connection to a name in the way that its grants and its first byte say.
async fn to_name(
    broker: Arc<Broker>,
    stream: TcpStream,
    client: Client,
    name: DnsName,
    permit: Permit,
) -> Result<(), ConnectionError> {
    let offered = Offered::of(&broker.scope().agent, &name, client.port);
    let carriage = match offered.before() {
        Step::Carry(carriage) => Some(carriage),
        Step::Look => {
            // The peek leaves the byte where it is.
            let mut first = [0];
            let peeked = timeout(HANDSHAKE, stream.peek(&mut first)).await;
            match peeked.map_err(io::Error::from)?? {
                0 => return Ok(()),
                _ => offered.after(first[0]),
            }
        }
    };
    let host = Host::Name(name.clone());
    match carriage {
        Some(Carriage::Tls) => intercept(broker, stream, client, name, permit).await,
        Some(Carriage::Plain) => in_the_clear(broker, stream, client, name, permit).await,
        Some(Carriage::Stream) => {
            splice::serve(&broker, stream, &client, &host, Splice::Stream).await
        }
        Some(Carriage::Passthrough) => {
            splice::serve(&broker, stream, &client, &host, Splice::Tls).await
        }
        None => Err(refuse(&broker, &client, ConnectionReason::NoGrant).await),
    }
}

async fn identify(broker: &Broker, tag: &Tag) -> Result<Client, ConnectionError> {
    let known = match tag.carrier {
        carrier::HOLD => None,
        carrier::BROKER => Some(tagged_level(tag.level).ok_or(ConnectionError::Tag)?),
        _ => return Err(ConnectionError::Tag),
    };
    let limit = match known {
        Some(_) => ATTESTATION,
        None => held_for(tag),
    };
    let attestation = broker.agent.await_attestation(tag.exec_id, limit).await;
    let attestation = attestation.map_err(ConnectionError::Attestation)?;
    let address = IpAddr::V6(Ipv6Addr::from(tag.address)).to_canonical();
    let port = u16::from_be(tag.port);
    let mut process = process(&attestation, tag)?;
    let level = agreed_level(&attestation, known);
    process.level = level;
    let Some(level) = level else {
        let reason = ConnectionReason::NoIdentity;
        let why = attestation_reason(&attestation.reason);
        record_refusal(broker, process, SocketAddr::new(address, port), reason, why).await;
        return Err(ConnectionError::Refused(reason));
    };
    Ok(Client {
        process,
        level,
        address,
        port: Port::new(port.into()).map_err(|_| ConnectionError::Tag)?,
    })
}

/// Of an image that was not observed, nothing is known but what the kernel tagged.
fn process(attestation: &Attestation, tag: &Tag) -> Result<Process, ConnectionError> {
    if attestation.process.is_empty() {
        return Ok(Process {
            pid: tag.tgid,
            exec_id: tag.exec_id,
            path: None,
            sha256: None,
            level: None,
            reason: None,
        });
    }
    serde_json::from_str(&attestation.process).map_err(ConnectionError::Process)
}

/// A held connection waits as long as the kernel lets it, and no longer than attestation may take.
fn held_for(tag: &Tag) -> Duration {
    let until = from_boot_nanos(tag.held_until);
    let left = until.duration_since(clock::boot_now());
    Duration::try_from(left)
        .unwrap_or_default()
        .min(ATTESTATION)
}

/// The weaker of what the node agent says now and what the kernel knew when it let the connection through.
fn agreed_level(attestation: &Attestation, known: Option<EvidenceLevel>) -> Option<EvidenceLevel> {
    let attested = Level::try_from(attestation.level).ok()?.evidence()?;
    Some(known.map_or(attested, |known| known.min(attested)))
}

fn attestation_reason(name: &str) -> Option<AttestationReason> {
    let mut all = AttestationReason::ALL.iter().copied();
    all.find(|reason| reason.as_str() == name)
}

const fn tagged_level(tagged: u8) -> Option<EvidenceLevel> {
    match tagged {
        level::SCOPE => Some(EvidenceLevel::Scope),
        level::LINEAGE => Some(EvidenceLevel::Lineage),
        level::IMAGE => Some(EvidenceLevel::Image),
        _ => None,
    }
}

async fn intercept(
    broker: Arc<Broker>,
    stream: TcpStream,
    client: Client,
    name: DnsName,
    permit: Permit,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let socket = Socket::new(stream)?;
    let cut = socket.cut();
    let hello = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let hello = timeout(HANDSHAKE, hello).await.map_err(io::Error::from)??;
    let asks_http2 = {
        let mut protocols = hello.client_hello().alpn().into_iter().flatten();
        protocols.any(|protocol| protocol == b"h2")
    };
    let offers_http2 = asks_http2 && service_speaks_http2(&broker, &client, &name).await;
    let config = broker.interception.config(&name, offers_http2).await?;
    let stream = timeout(HANDSHAKE, hello.into_stream(config))
        .await
        .map_err(io::Error::from)??;
    let wire = Wire {
        http2: stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        client,
        name,
        is_encrypted: true,
        cut,
        _permit: permit,
    };
    http::serve(broker, stream, wire).await;
    Ok(())
}

/// HTTP/2 is offered to a client where the service speaks it too: what one side could not say to the other
/// (trailers, an upgrade) would be lost between them. Where nothing is granted or the service cannot be
/// reached, there is only that to say.
async fn service_speaks_http2(broker: &Broker, client: &Client, name: &DnsName) -> bool {
    let scope = broker.scope();
    let request = Request {
        level: client.level,
        host: &Host::Name(name.clone()),
        port: client.port,
        asks: Asks::Protocol(Protocol::Https),
    };
    match decide(&scope.agent, &request, clock::boot_now()) {
        Decision::Allow(grant) => broker.upstreams.speaks_http2(grant).await,
        Decision::Refuse(_) => false,
    }
}

/// What a client of HTTP/2 begins with where nothing is negotiated (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

async fn in_the_clear(
    broker: Arc<Broker>,
    stream: TcpStream,
    client: Client,
    name: DnsName,
    permit: Permit,
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let http2 = timeout(HANDSHAKE, begins_with(&stream, PREFACE));
    let http2 = http2.await.map_err(io::Error::from)??;
    let socket = Socket::new(stream)?;
    let wire = Wire {
        http2,
        client,
        name,
        is_encrypted: false,
        cut: socket.cut(),
        _permit: permit,
    };
    http::serve(broker, socket, wire).await;
    Ok(())
}

/// Whether a stream begins with that, which stays where it is.
async fn begins_with(stream: &TcpStream, expected: &[u8]) -> io::Result<bool> {
    /// How long the rest of what began like it may take.
    const REST: Duration = Duration::from_millis(5);
    let mut bytes = [0; PREFACE.len()];
    loop {
        let peeked = stream.peek(&mut bytes[..expected.len()]).await?;
        let is_prefix = bytes[..peeked] == expected[..peeked];
        if !is_prefix || peeked == 0 || peeked == expected.len() {
            return Ok(is_prefix && peeked > 0);
        }
        tokio::time::sleep(REST).await;
    }
}

/// Records that a connection is refused, and says so.
pub(crate) async fn refuse(
    broker: &Broker,
    client: &Client,
    reason: ConnectionReason,
) -> ConnectionError {
    record_refusal(
        broker,
        client.process.clone(),
        client.destination(),
        reason,
        None,
    )
    .await;
    ConnectionError::Refused(reason)
}

/// Returns when it is recorded: before the process learns of it, so that `explain --last` finds it.
async fn record_refusal(
    broker: &Broker,
    process: Process,
    destination: SocketAddr,
    reason: ConnectionReason,
    identity: Option<AttestationReason>,
) {
    let scope = broker.scope();
    let refused = Event::ConnectionRefused {
        scope: scope.reference.clone(),
        process,
        destination: Some(destination),
        name: scope.names.name(destination.ip()).cloned(),
        reason,
        identity,
        path: None,
        transport: Some(Transport::Tcp),
    };
    if let Err(error) = broker.agent.record(&refused).await {
        tracing::warn!(%error, "a refusal could not be recorded");
    }
}

//! One accepted connection: who made it, and where to.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use lanyard_access::{
    evidence::EvidenceLevel,
    host::DnsName,
    port::Port,
    reason::{AttestationReason, ConnectionReason},
};
use lanyard_node_agent_abi::{
    grant::carrier, process::level, tag::Tag, virtual_address::is_virtual,
};
use lanyard_protocol::{
    broker::{Attestation, Level},
    record::{Event, Process, Transport},
};
use rustix::net::{ipproto, sockopt};
use thiserror::Error;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsAcceptor;

use crate::{
    agent::CallError, broker::Broker, clock, http, interception::InterceptionError, resolver,
    splice,
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
    /// TLS, HTTP or the socket failed.
    #[error("{0}")]
    Stream(#[from] std::io::Error),
}

/// Carries a connection to its end.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    stream: TcpStream,
    tag: Tag,
) -> Result<(), ConnectionError> {
    if u32::from(tag.protocol) != ipproto::TCP.as_raw().get() {
        return Err(ConnectionError::Tag);
    }
    if tag.carrier == carrier::RESOLVER {
        return Ok(resolver::service::serve_stream(&broker, stream).await?);
    }
    // Until it is carried, closing resets (tcp(7)): the kernel lets no other end of a refused one through.
    stream.set_zero_linger()?;
    let client = identify(&broker, &tag).await?;
    let name = broker.scope().names.name(client.address).cloned();
    match name {
        Some(name) => {
            carried(&stream)?;
            intercept(broker, stream, client, name).await
        }
        // It was held: the first packet after the attestation makes its tag a broker's.
        None if !is_virtual(&tag.address) => splice::serve(&broker, stream, &client).await,
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
    let until = clock::from_boot_nanos(tag.held_until);
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
) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let config = broker.interception.config(&name).await?;
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = timeout(HANDSHAKE, handshake)
        .await
        .map_err(std::io::Error::from)??;
    http::serve(broker, stream, client, name).await;
    Ok(())
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

/// From now on closing waits for what was sent, as it always does.
pub(crate) fn carried(stream: &TcpStream) -> std::io::Result<()> {
    Ok(sockopt::set_socket_linger(stream, None)?)
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

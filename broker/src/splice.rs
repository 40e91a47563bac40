//! Connections that are joined, not read: to an address whose process was being attested, to a name under a
//! grant for TCP, and TLS that nobody ends on the way.

use std::time::Duration;

use lanyard_access::{
    decide::{Asks, Decision, Request, decide},
    desired::LiveGrant,
    grant::Protocol,
    host::{DnsName, Host},
    reason::{ConnectionReason, RefusalReason},
};
use lanyard_protocol::record::Event;
use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
    time::timeout,
};

use crate::{
    broker::Broker,
    clock,
    connection::{Client, ConnectionError, refuse},
    deadline, scope,
    socket::{Cut, Socket},
    upstream::connect,
};

/// What is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Splice {
    /// A connection to an address, which was held while its process was attested.
    Held,
    /// A connection to a name.
    Stream,
    /// The same, that begins with TLS for that name.
    Tls,
}

/// How long a client may take to say which name it wants.
const HELLO: Duration = Duration::from_secs(10);

/// The longest first message of TLS that is read.
const LONGEST_HELLO: usize = 64 << 10;

/// Joins the connection with its destination until either ends or the grant does.
pub(crate) async fn serve(
    broker: &Broker,
    mut stream: TcpStream,
    client: &Client,
    host: &Host,
    splice: Splice,
) -> Result<(), ConnectionError> {
    let grant = match allowed(broker, client, host, splice) {
        Ok(grant) => grant,
        Err(reason) => return Err(refuse(broker, client, reason).await),
    };
    let begun = match (splice, host) {
        (Splice::Tls, Host::Name(name)) => match hello(&mut stream, name).await {
            Ok(begun) => begun,
            Err(error) => {
                refuse(broker, client, ConnectionReason::OtherName).await;
                return Err(error);
            }
        },
        (Splice::Held | Splice::Stream | Splice::Tls, _) => Vec::new(),
    };
    let allowed = Event::ConnectionAllowed {
        scope: broker.scope().reference.clone(),
        process: client.process.clone(),
        destination: client.destination(),
        grants: vec![grant.key.clone()],
        name: match host {
            Host::Name(name) => Some(name.clone()),
            Host::Address(_) | Host::Network(_) => None,
        },
    };
    let recorded = broker.agent.record(&allowed).await;
    recorded.map_err(ConnectionError::Record)?;
    stream.set_nodelay(true)?;
    let reference = scope::reference(&grant);
    let mut changes = broker.watch_scope();
    let connected = async {
        match splice {
            Splice::Held => Ok(Socket::new(connect::one(client.destination()).await?)?),
            Splice::Stream | Splice::Tls => Ok(broker.upstreams.stream(&grant).await?),
        }
    };
    let mut service = tokio::select! {
        service = connected => match service {
            Ok(service) => service,
            Err(error) => return Err(error),
        },
        () = deadline::ended(&mut changes, &reference) => {
            return Err(refuse(broker, client, ConnectionReason::GrantEnded).await);
        }
    };
    let mut stream = Socket::new(stream)?;
    let cuts = [stream.cut(), service.cut()];
    let joined = async {
        service.write_all(&begun).await?;
        copy_bidirectional(&mut stream, &mut service).await
    };
    tokio::select! {
        biased;
        () = deadline::ended(&mut changes, &reference) => cuts.iter().for_each(Cut::cut),
        result = joined => {
            result?;
        }
    }
    Ok(())
}

/// Reads the client's first message, which has to name that host (RFC 6066, 3), and gives what was read.
pub(crate) async fn hello<S: AsyncRead + Unpin>(
    stream: &mut S,
    name: &DnsName,
) -> Result<Vec<u8>, ConnectionError> {
    let mut acceptor = Acceptor::default();
    let mut begun = Vec::new();
    let reading = async {
        loop {
            let before = begun.len();
            if begun.len() >= LONGEST_HELLO || stream.read_buf(&mut begun).await? == 0 {
                return Err(ConnectionError::ServerName);
            }
            let mut news = &begun[before..];
            while !news.is_empty() {
                acceptor.read_tls(&mut news)?;
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let asked = accepted.client_hello().server_name().map(str::to_owned);
                    return Ok(asked);
                }
                Err(_) => return Err(ConnectionError::ServerName),
            }
        }
    };
    let asked = timeout(HELLO, reading)
        .await
        .map_err(std::io::Error::from)??;
    let is_name = asked.is_some_and(|asked| asked.parse::<DnsName>().as_ref() == Ok(name));
    is_name.then_some(begun).ok_or(ConnectionError::ServerName)
}

fn allowed(
    broker: &Broker,
    client: &Client,
    host: &Host,
    splice: Splice,
) -> Result<LiveGrant, ConnectionReason> {
    let scope = broker.scope();
    let request = Request {
        level: client.level,
        host,
        port: client.port,
        asks: match splice {
            Splice::Held | Splice::Stream => Asks::Protocol(Protocol::Tcp),
            Splice::Tls => Asks::Passthrough,
        },
    };
    match decide(&scope.agent, &request, clock::boot_now()) {
        Decision::Allow(grant) => Ok(grant.clone()),
        Decision::Refuse(refusal) => Err(match refusal.reason {
            RefusalReason::GrantEnded => ConnectionReason::GrantEnded,
            RefusalReason::EvidenceTooLow => ConnectionReason::EvidenceTooLow,
            RefusalReason::NoGrant
            | RefusalReason::WrongProtocol
            | RefusalReason::PathNotGranted
            | RefusalReason::MethodNotGranted
            | RefusalReason::PathNotUnderstood
            | RefusalReason::ToolNotGranted
            | RefusalReason::McpMethodNotGranted
            | RefusalReason::McpNotUnderstood
            | RefusalReason::ConditionNotMet
            | RefusalReason::ConditionNotDecided
            | RefusalReason::UsedUp
            | RefusalReason::HostMismatch
            | RefusalReason::NotCarried => ConnectionReason::NoGrant,
        }),
    }
}

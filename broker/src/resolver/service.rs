//! Receives queries over UDP and TCP, and records the names that are refused.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use lanyard_protocol::record::Event;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    task::JoinSet,
    time::timeout,
};

use super::{
    Answer, answer,
    observe::{self, Found, Question},
};
use crate::{broker::Broker, clock, limits, scope::Scope, upstream};

/// The longest query: longer ones over UDP are cut, and then malformed.
const LONGEST: usize = 4096;

/// How long a TCP connection may be without a query (RFC 7766, 6.2.3 asks for "a few seconds").
const IDLE: Duration = Duration::from_secs(10);

/// Answers datagrams for as long as the socket works.
pub(crate) async fn serve_datagrams(broker: Arc<Broker>, socket: UdpSocket) -> io::Error {
    let socket = Arc::new(socket);
    let mut lookups = JoinSet::new();
    let mut query = [0; LONGEST];
    loop {
        let (length, from) = match socket.recv_from(&mut query).await {
            Ok(received) => received,
            // An earlier answer met a closed port (ICMP); it says nothing of this socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return error,
        };
        while lookups.try_join_next().is_some() {}
        let query = &query[..length];
        let scope = broker.scope();
        match to_look_up(&scope, query) {
            // It may take long, and nobody else waits for it.
            Some(question) if lookups.len() < limits::LOOKUPS => {
                lookups.spawn(answer_later(
                    Arc::clone(&broker),
                    Arc::clone(&socket),
                    question,
                    from,
                ));
            }
            Some(_) => {}
            None => {
                if let Some(reply) = reply(&broker, &scope, query).await {
                    // A client that cannot be answered asks again.
                    drop(socket.try_send_to(&reply, from));
                }
            }
        }
    }
}

async fn answer_later(
    broker: Arc<Broker>,
    socket: Arc<UdpSocket>,
    question: Question,
    to: SocketAddr,
) {
    let found = look_up(&broker, &question).await;
    if let Some(reply) = observe::datagram(&question, &found) {
        drop(socket.try_send_to(&reply, to));
    }
}

/// Answers the queries of one TCP connection (RFC 1035, 4.2.2).
pub(crate) async fn serve_stream(broker: &Broker, mut stream: TcpStream) -> io::Result<()> {
    let mut query = vec![0; LONGEST];
    loop {
        let Ok(length) = timeout(IDLE, stream.read_u16()).await else {
            return Ok(());
        };
        let length = match length {
            Ok(length) => usize::from(length),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        if length > LONGEST {
            return Ok(());
        }
        timeout(IDLE, stream.read_exact(&mut query[..length])).await??;
        let scope = broker.scope();
        let reply = match to_look_up(&scope, &query[..length]) {
            Some(question) => observe::reply(&question, &look_up(broker, &question).await),
            None => reply(broker, &scope, &query[..length]).await,
        };
        let Some(reply) = reply else {
            return Ok(());
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [length.to_be_bytes().as_slice(), &reply].concat();
        timeout(IDLE, stream.write_all(&framed)).await??;
    }
}

fn to_look_up(scope: &Scope, query: &[u8]) -> Option<Question> {
    let is_observed = scope.is_observed();
    is_observed.then(|| observe::unbound(query, &scope.names))?
}

/// What a name is answered with is told before it is answered, so that a connection to it finds its name.
async fn look_up(broker: &Broker, question: &Question) -> Found {
    let found = match upstream::lookup::addresses(&question.name).await {
        Some(Ok(addresses)) => Found::of(addresses),
        Some(Err(_)) => Found::Nothing,
        None => Found::Silence,
    };
    if let Found::Addresses(addresses) = &found
        && let Err(error) = broker.agent.observed(&question.name, addresses).await
        && broker.warnings.is_due("observed", clock::boot_now())
    {
        tracing::warn!(%error, "an observed name could not be told");
    }
    found
}

/// A refusal is recorded before it is answered, so that `explain --last` finds it.
async fn reply(broker: &Broker, scope: &Scope, query: &[u8]) -> Option<Vec<u8>> {
    let Answer { bytes, refused } = answer(query, &scope.names, broker.families)?;
    if let Some(name) = refused
        && broker.refused_names.is_due(&name, clock::boot_now())
    {
        let refused = Event::NameRefused {
            scope: scope.reference.clone(),
            name,
        };
        if let Err(error) = broker.agent.record(&refused).await {
            tracing::warn!(%error, "a refused name could not be recorded");
        }
    }
    Some(bytes)
}

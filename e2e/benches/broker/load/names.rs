//! A name, asked for again and again.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::{net::UdpSocket, time::timeout};

use super::{Found, sample::Sample};

/// Any address: the kernel leads whatever is for this port to the scope's broker.
const RESOLVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53)),
    53,
);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks, so many at once, for so long.
pub(super) async fn run(name: &str, at_once: usize, limit: Duration) -> Result<Found> {
    let begin = Instant::now();
    let each = (0..at_once).map(|_| async {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(RESOLVER).await?;
        let mut sample = Sample::default();
        let mut id = 0;
        while begin.elapsed() < limit {
            id += 1;
            let start = Instant::now();
            ask(&socket, name, id).await?;
            sample.add(start.elapsed());
        }
        anyhow::Ok(sample)
    });
    let mut all = Sample::default();
    for sample in try_join_all(each).await? {
        all.join(sample);
    }
    Ok(all.found(begin.elapsed()))
}

async fn ask(socket: &UdpSocket, name: &str, id: u16) -> Result<()> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    socket.send(&message.to_vec()?).await?;
    let mut answer = [0; 1232];
    let length = timeout(PATIENCE, socket.recv(&mut answer)).await??;
    let answer = Message::from_vec(&answer[..length])?;
    let is_it = answer.metadata.id == id
        && answer.metadata.response_code == ResponseCode::NoError
        && answer.answers.len() == 1;
    ensure!(is_it, "an answer of another kind: {answer:?}");
    Ok(())
}

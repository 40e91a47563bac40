//! One request after another on each of many connections, which are all warm before it counts.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use tokio::task::JoinSet;

use super::{
    Found,
    sample::Sample,
    wire::{Sender, Wire, drain},
};

/// How many requests make a connection warm.
const WARM: usize = 3;

/// How many connections are made at once.
const AT_ONCE: usize = 16;

/// Connections that have carried requests, and the request.
pub(super) struct Warm {
    senders: Vec<Sender>,
    request: Request<Empty<Bytes>>,
    length: usize,
}

/// Connects, and asks a few times on each connection.
pub(super) async fn warm(
    wire: &Wire,
    path: &str,
    length: usize,
    connections: usize,
) -> Result<Warm> {
    let request = wire.request(path)?;
    let mut senders = Vec::with_capacity(connections);
    while senders.len() < connections {
        let more = AT_ONCE.min(connections - senders.len());
        let connecting = (0..more).map(|_| async {
            let mut sender = wire.connect().await?;
            for _ in 0..WARM {
                once(&mut sender, &request, length).await?;
            }
            anyhow::Ok(sender)
        });
        senders.extend(futures_util::future::try_join_all(connecting).await?);
    }
    Ok(Warm {
        senders,
        request,
        length,
    })
}

/// Asks on all of them for so long. What is under way then is waited for, and counts.
pub(super) async fn run(warm: Warm, limit: Duration) -> Result<Found> {
    let Warm {
        senders,
        request,
        length,
    } = warm;
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for mut sender in senders {
        let request = request.clone();
        tasks.spawn(async move {
            let mut sample = Sample::default();
            while begin.elapsed() < limit {
                let start = Instant::now();
                once(&mut sender, &request, length).await?;
                sample.add(start.elapsed());
            }
            // Kept to the end: what it holds elsewhere is looked at afterwards.
            anyhow::Ok((sample, sender))
        });
    }
    let mut all = Sample::default();
    let mut kept = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (sample, sender) = done.context("a connection's task ends")??;
        all.join(sample);
        kept.push(sender);
    }
    let elapsed = begin.elapsed();
    // The process ends with them.
    std::mem::forget(kept);
    Ok(all.found(elapsed))
}

async fn once(sender: &mut Sender, request: &Request<Empty<Bytes>>, length: usize) -> Result<()> {
    let reply = sender.send(request.clone()).await?;
    let read = drain(&mut reply.into_body()).await?;
    ensure!(read == length, "a reply of {read} bytes");
    Ok(())
}

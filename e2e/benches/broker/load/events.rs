//! Streams of events: how soon the first arrives, and many that stay open.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    Found,
    sample::Sample,
    wire::{Sender, Wire, drain},
};

/// Three events, a fifth of a second apart.
const SHORT: &str = "/events?count=3&pause=0.2";

/// One event, and nothing for long.
const LONG: &str = "/events?count=2&pause=100";

/// How long a stream may keep its first event.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many streams are opened at once.
const AT_ONCE: usize = 16;

/// How long the first event takes on a connection that is there.
pub(super) async fn first(wire: &Wire) -> Result<Duration> {
    let mut sender = wire.connect().await?;
    let start = Instant::now();
    let mut body = sender.send(wire.request(SHORT)?).await?.into_body();
    event(&mut body).await?;
    Ok(start.elapsed())
}

/// That, one after another.
pub(super) async fn run(wire: &Wire, count: usize) -> Result<Found> {
    let begin = Instant::now();
    let mut sample = Sample::default();
    for _ in 0..count {
        sample.add(first(wire).await?);
    }
    Ok(sample.found(begin.elapsed()))
}

/// A stream that is open, or that keeps its event.
pub(super) struct Open {
    _sender: Sender,
    body: Option<Incoming>,
}

/// Opens so many. What is found counts those whose first event came.
pub(super) async fn open(wire: &Wire, count: usize) -> Result<(Found, Vec<Open>)> {
    let begin = Instant::now();
    let opening = (0..count).map(|_| async {
        let mut sender = wire.connect().await?;
        let request = wire.request(LONG)?;
        let start = Instant::now();
        let opened = timeout(PATIENCE, async {
            let mut body = sender.send(request).await?.into_body();
            event(&mut body).await?;
            anyhow::Ok(body)
        });
        let body = opened.await.ok().transpose()?;
        let took = start.elapsed();
        anyhow::Ok((
            took,
            Open {
                _sender: sender,
                body,
            },
        ))
    });
    let mut sample = Sample::default();
    let mut streams = Vec::with_capacity(count);
    let mut opened = stream::iter(opening).buffer_unordered(AT_ONCE);
    while let Some(stream) = opened.next().await {
        let (took, stream) = stream?;
        if stream.body.is_some() {
            sample.add(took);
        }
        streams.push(stream);
    }
    Ok((sample.found(begin.elapsed()), streams))
}

/// A reply that takes so long, and does not have the token in it.
pub(super) async fn slowly(wire: &Wire, seconds: f64) -> Result<Found> {
    let path = format!("/events?count=1&pause={seconds}&say=done");
    let mut sender = wire.connect().await?;
    let mut sample = Sample::default();
    let start = Instant::now();
    let mut body = sender.send(wire.request(&path)?).await?.into_body();
    drain(&mut body).await?;
    sample.add(start.elapsed());
    Ok(sample.found(start.elapsed()))
}

async fn event(body: &mut Incoming) -> Result<()> {
    loop {
        let frame = body.frame().await.context("the stream has an event")??;
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(_) => return Ok(()),
            Err(_) => bail!("the stream ends without an event"),
        }
    }
}

//! A connection for each request: dialled, encrypted anew, used once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::{
    Found,
    sample::Sample,
    wire::{Wire, drain},
};

/// One connection with its request.
pub(super) async fn one(wire: &Wire, path: &str) -> Result<()> {
    let mut sender = wire.connect().await?;
    let reply = sender.send(wire.request(path)?).await?;
    let read = drain(&mut reply.into_body()).await?;
    ensure!(read > 0, "the reply is empty");
    Ok(())
}

/// One after another, so many at once, for so long.
pub(super) async fn run(wire: &Wire, path: &str, at_once: usize, limit: Duration) -> Result<Found> {
    let begin = Instant::now();
    let each = (0..at_once).map(|_| async {
        let mut sample = Sample::default();
        while begin.elapsed() < limit {
            let start = Instant::now();
            one(wire, path).await?;
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

//! What follows a change of protocol: bytes both ways, counted, masked toward the agent, until either side ends
//! or the grant does.

use std::{io, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use lanyard_protocol::record::Outcome;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf, split};

use super::stillness::Stillness;
use crate::{
    broker::Broker,
    deadline,
    open_request::OpenRequest,
    quota::UsedUp,
    scrub::{Needles, Scrubber},
    upstream::service::Service,
};

/// How long a tunnel may be without a byte in either direction: longer than any heartbeat.
const STILL: Duration = Duration::from_hours(1);

/// How much is read at a time.
const CHUNK: usize = 16 << 10;

/// Two connections that changed their protocol.
pub(super) struct Tunnel {
    pub(super) broker: Arc<Broker>,
    pub(super) open: Arc<OpenRequest>,
    pub(super) agent: OnUpgrade,
    pub(super) service: OnUpgrade,
    /// Keeps the connection to the service, and ends it.
    pub(super) upstream: Service,
    pub(super) needles: Option<Needles>,
}

impl Tunnel {
    /// Joins the two.
    pub(super) async fn carry(self) -> io::Result<()> {
        let Self {
            broker,
            open,
            agent,
            service,
            upstream,
            needles,
        } = self;
        let agent = TokioIo::new(agent.await.map_err(io::Error::other)?);
        let service = TokioIo::new(service.await.map_err(io::Error::other)?);
        let (from_agent, to_agent) = split(agent);
        let (from_service, to_service) = split(service);
        let stillness = Stillness::within(STILL);
        let there = there(&open, &stillness, from_agent, to_service);
        let back = back(&open, &stillness, from_service, to_agent, needles);
        let mut scope = broker.watch_scope();
        // Dropped after it is cut: closed before, it would end as if all was well.
        let mut joined = pin!(async { tokio::try_join!(there, back) });
        let result = tokio::select! {
            biased;
            () = deadline::ended(&mut scope, &open.grant) => {
                upstream.cut.cut();
                return Ok(());
            }
            result = &mut joined => result,
        };
        open.break_off(match result {
            Ok(_) => Outcome::Completed,
            Err(_) => Outcome::ClosedByService,
        });
        result.map(drop)
    }
}

/// Bytes under a grant with a limit are counted before they go on.
async fn count(open: &OpenRequest, bytes: usize) -> io::Result<()> {
    let Some(quota) = &open.quota else {
        return Ok(());
    };
    quota.take(bytes).await.map_err(|UsedUp| {
        open.finish(Outcome::CutByLimit);
        io::Error::other("as many bytes as the grant allows were carried")
    })
}

async fn there(
    open: &OpenRequest,
    stillness: &Stillness,
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = stillness.read(&mut from, &mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        count(open, read).await?;
        open.add_sent(read);
        to.write_all(&chunk[..read]).await?;
        to.flush().await?;
    }
}

async fn back(
    open: &OpenRequest,
    stillness: &Stillness,
    mut from: ReadHalf<TokioIo<Upgraded>>,
    mut to: WriteHalf<TokioIo<Upgraded>>,
    needles: Option<Needles>,
) -> io::Result<()> {
    let mut scrubber = needles.map(Scrubber::new);
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = stillness.read(&mut from, &mut chunk).await?;
        count(open, read).await?;
        open.add_received(read);
        if read == 0 {
            let rest = scrubber.as_mut().map(Scrubber::finish).unwrap_or_default();
            to.write_all(&rest).await?;
            return to.shutdown().await;
        }
        match &mut scrubber {
            Some(scrubber) => {
                let ready = scrubber.push(Bytes::copy_from_slice(&chunk[..read]));
                to.write_all(&ready).await?;
            }
            None => to.write_all(&chunk[..read]).await?,
        }
        to.flush().await?;
    }
}

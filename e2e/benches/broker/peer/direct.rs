//! Nothing between: what the service and the client can do.

use anyhow::Result;

use super::{Peer, Process, upstreams};
use crate::{load::Via, place::Place};

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several that may fail to start"
)]
pub(super) fn peer(place: &Place) -> Result<Peer> {
    Ok(Peer {
        name: "direct",
        ways: upstreams(place).map(Via::Address),
        speaks_http2: true,
        needs_token: true,
        streams: true,
        process: Process::None,
    })
}

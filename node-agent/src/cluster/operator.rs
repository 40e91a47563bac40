//! The stream from the operator: taken up again and again, for as long as the node agent lives.

use std::{fmt, time::Duration};

use lanyard_protocol::{
    NODES_PROTOCOL,
    nodes::{FromNode, Hello, NodesError, ToNode, wire::nodes_client::NodesClient},
};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};
use tracing::{info, warn};

use super::said::{Said, SaidError};
use crate::kernel::{MapError, clock::Moment};

/// How long the operator may be silent: it beats every few seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// How long to wait before it is tried again: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The largest message: all of a node with a thousand grants is half a megabyte.
const LARGEST: usize = 64 << 20;

/// How many acknowledgements may wait to be sent.
const WAITING: usize = 16;

/// Why the stream ended.
#[derive(Debug, Error)]
pub(super) enum StreamError {
    /// The operator refused, or is gone.
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    /// It ended the stream: another replica may serve this node.
    #[error("the operator ended the stream")]
    Ended,
    /// It was silent.
    #[error("the operator was not heard for {} s", SILENCE.as_secs())]
    Silent,
    /// What it said is not understood.
    #[error("what the operator said: {0}")]
    Message(#[from] NodesError),
    /// What it said does not hold here.
    #[error(transparent)]
    Said(#[from] SaidError),
    /// The lease could not be written.
    #[error(transparent)]
    Map(#[from] MapError),
}

impl From<Status> for StreamError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Follows what the operator says. Each time it is reached by what `connect` gives.
pub(super) async fn follow<E: fmt::Display>(
    mut said: Said,
    mut connect: impl AsyncFnMut() -> Result<Channel, E>,
) {
    let mut pause = PAUSES.0;
    loop {
        match connect().await {
            Ok(channel) => {
                let before = said.position();
                let Err(error) = listen(&mut said, channel).await;
                warn!(%error, "the operator is not followed; what holds, holds until its end");
                if said.position() != before {
                    pause = PAUSES.0;
                }
            }
            Err(error) => warn!(%error, "the operator is not reached"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn listen(
    said: &mut Said,
    channel: Channel,
) -> Result<std::convert::Infallible, StreamError> {
    let (answers, outgoing) = mpsc::channel(WAITING);
    let hello = FromNode::Hello(Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: NODES_PROTOCOL,
        resume: said.position(),
    });
    // There is room, and somebody who takes it.
    let _ = answers.send(hello.encode()).await;
    let mut client = NodesClient::new(channel).max_decoding_message_size(LARGEST);
    let called = timeout(SILENCE, client.follow(ReceiverStream::new(outgoing)));
    let mut incoming = called.await.map_err(|_| StreamError::Silent)??.into_inner();
    info!("the operator is followed");
    loop {
        let next = timeout(SILENCE, incoming.message()).await;
        let next = next.map_err(|_| StreamError::Silent)??;
        let message = ToNode::decode(next.ok_or(StreamError::Ended)?)?;
        let now = Moment::now();
        let delta = match message {
            ToNode::Beat => {
                said.beat(now)?;
                continue;
            }
            ToNode::Delta(delta) => delta,
        };
        let version = delta.version;
        let answer = match said.apply(delta, now) {
            Ok(()) => FromNode::Acknowledged(version),
            Err(error) => {
                said.lose_position();
                let reason = error.to_string();
                let refused = FromNode::Refused { version, reason };
                let _ = answers.send(refused.encode()).await;
                return Err(error.into());
            }
        };
        // The operator hears it, or the stream ends and it asks again.
        let _ = answers.send(answer.encode()).await;
    }
}

//! What goes to the node agent, with as few calls of the system as it lets.

use std::{pin::pin, time::Duration};

use lanyard_daemon::link;
use lanyard_protocol::{
    broker::FromBroker,
    frame::{self, FrameError},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

/// How many messages are written at once.
const AT_ONCE: usize = 64;

/// How long what nobody waits for may wait itself.
const SOON: Duration = Duration::from_millis(2);

/// One thing to be done, in order.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Written at once.
    Call(FromBroker),
    /// Written with what comes next: mostly the next call follows on the heels of it, and then the node agent is woken
    /// once for both.
    WithNext(FromBroker),
    /// Told when everything before it is written.
    Flush(oneshot::Sender<()>),
}

impl Outgoing {
    const fn message(&self) -> Option<&FromBroker> {
        match self {
            Self::Call(message) | Self::WithNext(message) => Some(message),
            Self::Flush(_) => None,
        }
    }
}

/// Writes what is handed over, until nobody can hand anything over any more.
pub(super) async fn write(
    writer: &mut link::Writer,
    outgoing: &mut mpsc::UnboundedReceiver<Outgoing>,
) -> FrameError {
    let mut next = Vec::new();
    // It runs on when something else was written meanwhile: a timer for each message would cost what this saves.
    let mut soon = pin!(sleep(SOON));
    let mut is_soon = false;
    loop {
        let is_due = tokio::select! {
            biased;
            received = outgoing.recv_many(&mut next, AT_ONCE) => received == 0,
            () = &mut soon, if is_soon => {
                is_soon = false;
                true
            }
        };
        let waits = |next: &Outgoing| matches!(next, Outgoing::WithNext(_));
        if !is_due && next.len() < AT_ONCE && next.iter().all(waits) {
            if !is_soon {
                soon.as_mut().reset(Instant::now() + SOON);
                is_soon = true;
            }
            continue;
        }
        if let Err(error) = write_all(writer, &mut next).await {
            return error;
        }
        if outgoing.is_closed() && outgoing.is_empty() {
            return FrameError::Closed;
        }
    }
}

async fn write_all(writer: &mut link::Writer, next: &mut Vec<Outgoing>) -> Result<(), FrameError> {
    if next.iter().any(|next| next.message().is_some()) {
        frame::send_all(writer, next.iter().filter_map(Outgoing::message)).await?;
    }
    for next in next.drain(..) {
        if let Outgoing::Flush(done) = next {
            // Who no longer waits is as well served.
            let _ = done.send(());
        }
    }
    Ok(())
}

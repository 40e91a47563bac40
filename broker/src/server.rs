//! Accepts what the kernel sends here, and keeps the clock and the certificates going.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use lanyard_node_agent_abi::tag::side;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use crate::{
    broker::{Broker, Permit},
    clock, connection, deadline,
    handover::{Handover, Listeners},
    resolver,
    scope::Scope,
    upstream,
};

/// How long to wait when the process has no descriptors left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Why the broker cannot go on.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A socket could not be used.
    #[error("use the sockets to listen on: {0}")]
    Listen(io::Error),
    /// Names cannot be answered any more.
    #[error("answer names: {0}")]
    Resolver(io::Error),
    /// A part of the broker panicked.
    #[error("a part of the broker failed: {0}")]
    Part(tokio::task::JoinError),
    /// Grants would not end.
    #[error("keep time: {0}")]
    Clock(io::Error),
}

/// Serves until something fails for good. Dropped, it ends everything that is open.
pub async fn serve(
    broker: Arc<Broker>,
    handover: Handover,
    scope: Arc<watch::Sender<Arc<Scope>>>,
) -> ServeError {
    let mut parts = JoinSet::new();
    for listeners in [Some(handover.v4), handover.v6].into_iter().flatten() {
        let Listeners { tcp, dns } = listeners;
        let sockets =
            TcpListener::from_std(tcp).and_then(|tcp| Ok((tcp, UdpSocket::from_std(dns)?)));
        let (tcp, dns) = match sockets {
            Ok(sockets) => sockets,
            Err(error) => return ServeError::Listen(error),
        };
        let names = resolver::service::serve_datagrams(Arc::clone(&broker), dns);
        parts.spawn(async { ServeError::Resolver(names.await) });
        let accepting = accept(Arc::clone(&broker), tcp);
        parts.spawn(async { match accepting.await {} });
    }
    let signing = Arc::clone(&broker);
    parts.spawn(async move {
        let scope = signing.watch_scope();
        signing
            .interception
            .keep_signed(&signing.agent, scope)
            .await;
        std::future::pending().await
    });
    let sweeping = Arc::clone(&broker);
    parts.spawn(async move {
        loop {
            sleep(upstream::SWEEP).await;
            sweeping.upstreams.sweep();
        }
    });
    tokio::select! {
        error = deadline::keep_time(&scope) => ServeError::Clock(error),
        Some(ended) = parts.join_next() => match ended {
            Ok(error) => error,
            Err(error) => ServeError::Part(error),
        },
    }
}

async fn accept(broker: Arc<Broker>, listener: TcpListener) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let permit = broker.connection_permit().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(carry(Arc::clone(&broker), stream, permit));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                sleep(EXHAUSTED).await;
            }
        }
    }
}

async fn carry(broker: Arc<Broker>, stream: TcpStream, permit: Permit) {
    let Some(tag) = broker.tag(&stream).filter(|tag| tag.side == side::BROKER) else {
        if broker.warnings.is_due("untagged", clock::boot_now()) {
            tracing::warn!("closed a connection that the kernel did not send here");
        }
        return;
    };
    if let Err(error) = connection::serve(Arc::clone(&broker), stream, tag, permit).await {
        tracing::debug!(%error, "a connection was closed");
    }
}

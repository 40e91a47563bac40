//! HTTP/1.1 and HTTP/2 from the agent: each request is decided anew, and what is open ends with its grant.

mod body;
mod decision;
mod exchange;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod headers;
mod message;
mod pace;
pub(crate) mod payload;
pub(crate) mod refusal;
mod reply;
mod request;
mod send;
mod stillness;
mod tunnel;
mod unfinished;

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use lanyard_access::host::DnsName;
use tokio::io::{AsyncRead, AsyncWrite};

use self::exchange::Exchange;
use crate::{
    broker::{Broker, Permit},
    connection::Client,
    limits,
    socket::Cut,
};

/// How long the head of a request may take, and a connection be without a request.
const IDLE: Duration = Duration::from_mins(1);

/// What is known of a connection before its first request.
pub(crate) struct Wire {
    /// Who is at its other end.
    pub(crate) client: Client,
    /// The name it is for.
    pub(crate) name: DnsName,
    /// Whether the client speaks TLS.
    pub(crate) is_encrypted: bool,
    /// Whether it speaks HTTP/2.
    pub(crate) http2: bool,
    /// What ends it at once.
    pub(crate) cut: Cut,
    /// Given back when the last of its requests has ended.
    pub(crate) _permit: Permit,
}

/// Serves the requests of one connection to its end, or until the grants it is used under end.
pub(crate) async fn serve<S>(broker: Arc<Broker>, stream: S, wire: Wire)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let cut = wire.cut.clone();
    let http2 = wire.http2;
    let exchange = Arc::new(Exchange::new(broker, wire));
    // Dropped after it is cut: closed before, it would end as if all was well.
    let mut serving = pin!(async {
        if http2 {
            serve_http2(stream, &exchange, &cut).await
        } else {
            serve_http1(stream, &exchange).await
        }
    });
    tokio::select! {
        biased;
        () = exchange.grants_ended() => cut.cut(),
        result = &mut serving => {
            if let Err(error) = result {
                if is_timeout(&error) {
                    cut.let_go();
                }
                tracing::debug!(%error, "a connection of the agent ended");
            }
        }
    }
}

/// Whether the agent only asked for nothing more for a while.
fn is_timeout(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(hyper::Error::is_timeout)
}

async fn serve_http1<S>(stream: S, exchange: &Arc<Exchange>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let exchange = Arc::clone(exchange);
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let connection = http1_builder()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    connection.await.map_err(io::Error::other)?;
    match exchange.take_tunnel() {
        Some(tunnel) => tunnel.carry().await,
        None => Ok(()),
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(limits::HEADERS)
        .max_header_size(limits::HEADER_BYTES)
        .max_buf_size(limits::BUFFER_BYTES);
    builder
}

async fn serve_http2<S>(stream: S, exchange: &Arc<Exchange>, cut: &Cut) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let exchange = Arc::clone(exchange);
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::SEND_BUFFER)
        .max_concurrent_streams(u32::try_from(limits::STREAMS).ok())
        .max_header_list_size(limits::HEADER_LIST);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = exchange.idle_for(IDLE) => {
            connection.as_mut().graceful_shutdown();
            connection.as_mut().await
        }
    };
    if result.is_err() {
        // Of a client that broke the protocol the connection is closed (RFC 9113, 5.4.1); a stream that did not end
        // does not look whole by that.
        cut.let_go();
    }
    result.map_err(io::Error::other)
}

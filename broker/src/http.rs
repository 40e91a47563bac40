//! HTTP/1.1 from the agent: each request is decided anew, and what is open ends with its grant.

pub(crate) mod body;
mod exchange;
mod headers;
pub(crate) mod refusal;
mod reply;
mod request;

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lanyard_access::host::DnsName;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use self::exchange::Exchange;
use crate::{broker::Broker, connection::Client, limits};

/// How long the head of a request may take, and a connection be without one.
const IDLE: Duration = Duration::from_mins(1);

/// Serves the requests of one connection to its end, or until a grant it is used under ends.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    stream: TlsStream<TcpStream>,
    client: Client,
    name: DnsName,
) {
    let exchange = Arc::new(Exchange::new(broker, client, name));
    let service = service_fn(|request| {
        let exchange = Arc::clone(&exchange);
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(limits::HEADERS)
        .max_header_size(limits::HEADER_BYTES)
        .max_buf_size(limits::BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = exchange.grant_ended() => {
            exchange.cut();
            let stream = connection.into_parts().io.into_inner();
            // With it, closing resets (tcp(7)): what the kernel still holds is not sent.
            drop(stream.get_ref().0.set_zero_linger());
        }
        result = &mut connection => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection of the agent ended");
            }
        }
    }
}

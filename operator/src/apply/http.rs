//! `/healthz`, `/readyz` and `/metrics`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{hub::Hub, metrics};

/// How many ask at once.
const MOST: usize = 32;

/// Answers, for ever.
pub async fn serve(hub: Arc<Hub>, listener: TcpListener) {
    let limit = Arc::new(Semaphore::new(MOST));
    while let Ok(permit) = limit.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let hub = hub.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let (status, text) = answer(&hub, request.uri().path());
                let mut response = Response::new(Full::new(Bytes::from(text)));
                *response.status_mut() = status;
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            // Who hangs up needs no answer.
            let _ = connection.await;
            drop(permit);
        });
    }
}

fn answer(hub: &Hub, path: &str) -> (StatusCode, String) {
    match path {
        "/healthz" => (StatusCode::OK, "ok\n".into()),
        "/readyz" if hub.is_ready() => (StatusCode::OK, "ok\n".into()),
        "/readyz" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not everything that is written was read yet, or there is no certificate yet\n".into(),
        ),
        "/metrics" => (StatusCode::OK, metrics::text(&hub.counters, hub.gauges())),
        _ => (StatusCode::NOT_FOUND, "not found\n".into()),
    }
}

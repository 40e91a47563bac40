//! A connection of an agent in memory, carried to services in memory, without what stands between head and body:
//! grants, records and credentials.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, uri::Authority};
use hyper::{body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lanyard_access::{host::DnsName, port::Port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{
    body::ReplyBody,
    headers::{Spoken, fit, prepare_request},
    http1_builder,
    request::check,
};

/// More than is ever sent.
const ROOM: usize = 1 << 20;

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The method that is decided.
    pub method: String,
    /// The path that is decided.
    pub path: String,
    /// All that arrived at its service.
    pub arrived: Vec<u8>,
}

type List = Arc<Mutex<Vec<Option<Carried>>>>;

/// Carries what an agent sends to `name` over HTTP/1.1: gives each request, or nothing where one was refused. Each request goes to a service of its own, which answers
/// once what arrived `has_come`.
pub async fn carry(
    sent: &[u8],
    name: &DnsName,
    has_come: fn(&[u8]) -> bool,
) -> Vec<Option<Carried>> {
    let list = List::default();
    let (mut agent, broker) = duplex(ROOM);
    if agent.write_all(sent).await.is_err() || agent.shutdown().await.is_err() {
        return Vec::new();
    }
    let service = service_fn(|request| {
        let (name, list) = (name.clone(), Arc::clone(&list));
        async move {
            let status = answer(request, &name, has_come, &list).await;
            let mut response = Response::new(ReplyBody::from(Bytes::new()));
            *response.status_mut() = status;
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1_builder();
    // The end of what is sent is not the end of the agent.
    builder.half_close(true);
    // However it ends: what arrived is kept.
    drop(
        builder
            .serve_connection(TokioIo::new(broker), service)
            .await,
    );
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *list)
}

async fn answer(
    request: Request<Incoming>,
    name: &DnsName,
    has_come: fn(&[u8]) -> bool,
    list: &List,
) -> StatusCode {
    let (mut head, body) = request.into_parts();
    let Ok(port) = Port::new(443) else {
        return StatusCode::INTERNAL_SERVER_ERROR;
    };
    let target = match check(&head, name, port, true) {
        Ok(target) => target,
        Err(error) => {
            push(list, None);
            return error.status();
        }
    };
    prepare_request(&mut head.headers, target.upgrade);
    head.uri = target.uri;
    let (method, path) = (head.method.to_string(), target.record.path);
    let mut request = Request::from_parts(head, body);
    let authority = Authority::try_from(name.as_str());
    let authority = authority.unwrap_or_else(|_| Authority::from_static("invalid"));
    let spoken = Spoken {
        http2: false,
        is_encrypted: true,
        authority: &authority,
    };
    fit(&mut request, spoken);
    let (ours, theirs) = duplex(ROOM);
    let sending = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.ok()?;
        let connection = async { drop(connection.await) };
        let sent = async { drop((sender.send_request(request).await, sender)) };
        tokio::join!(connection, sent);
        Some(())
    };
    let (_, arrived) = tokio::join!(sending, receive(theirs, has_come));
    let carried = Carried {
        method,
        path,
        arrived,
    };
    push(list, Some(carried));
    StatusCode::OK
}

fn push(list: &List, carried: Option<Carried>) {
    list.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(carried);
}

/// Answers once, when it has come, and takes whatever else comes.
async fn receive(mut stream: DuplexStream, has_come: fn(&[u8]) -> bool) -> Vec<u8> {
    const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let mut arrived = Vec::new();
    let mut is_answered = false;
    while let Ok(1..) = stream.read_buf(&mut arrived).await {
        if !is_answered && has_come(&arrived) {
            is_answered = true;
            if stream.write_all(REPLY).await.is_err() {
                break;
            }
        }
    }
    arrived
}

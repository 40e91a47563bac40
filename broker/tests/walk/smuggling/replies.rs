//! Replies that two readers may read in two ways: what a service sends behind one is no reply to the next request.

use super::{Lab, SENTINEL, connect, get, none, statuses};
use crate::{
    wiretap::REPLY,
    world::{SECRET, within},
};

/// What the client must never see.
const HIDDEN: &str = "hidden";
const ANOTHER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhidden";

/// What a service sends, and the status that the client gets for it; whatever that is, the next request is served.
struct Case {
    name: &'static str,
    sent: String,
    status: u16,
}

fn case(name: &'static str, status: u16, sent: &str) -> Case {
    Case {
        name,
        sent: sent.to_owned(),
        status,
    }
}

fn cases() -> Vec<Case> {
    let ok = |headers: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}");
    let mut cases = vec![
        case("a reply", 200, &ok("content-length: 2", "ok")),
        case(
            "another behind it",
            200,
            &ok("content-length: 2", &format!("ok{ANOTHER}")),
        ),
        case(
            "the same length twice",
            200,
            &ok("content-length: 2\r\ncontent-length: 2", "ok"),
        ),
        case(
            "a reply without a body, and one",
            204,
            &format!("HTTP/1.1 204 No Content\r\n\r\n{ANOTHER}"),
        ),
        case(
            "a reply of a length without a body",
            304,
            &format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\n{ANOTHER}"),
        ),
        case(
            "an interim reply",
            200,
            &format!(
                "HTTP/1.1 103 Early Hints\r\nx-a: 1\r\n\r\n{}",
                ok("content-length: 2", "ok")
            ),
        ),
        case(
            "chunks",
            200,
            &ok("transfer-encoding: chunked", "2\r\nok\r\n0\r\n\r\n"),
        ),
        case(
            "another behind chunks",
            200,
            &ok(
                "transfer-encoding: chunked",
                &format!("2\r\nok\r\n0\r\n\r\n{ANOTHER}"),
            ),
        ),
        case(
            "a length beside chunks",
            200,
            &ok(
                "content-length: 99\r\ntransfer-encoding: chunked",
                &format!("2\r\nok\r\n0\r\n\r\n{ANOTHER}"),
            ),
        ),
    ];
    for (name, headers) in [
        ("two lengths", "content-length: 2\r\ncontent-length: 30"),
        ("a list of two lengths", "content-length: 2, 30"),
        ("a sign", "content-length: +2"),
        ("no digits", "content-length: two"),
        ("a folded line", "content-length: 2\r\nx-a: 1\r\n 2"),
        ("a space before the colon", "content-length : 2"),
        ("a CR in a value", "content-length: 2\r\nx-a: 1\r2"),
        ("NUL in a value", "content-length: 2\r\nx-a: 1\0"),
        ("a line without a colon", "content-length: 2\r\nx-a"),
    ] {
        cases.push(case(name, 502, &ok(headers, &format!("ok{ANOTHER}"))));
    }
    for (name, headers) in [
        ("a coding before chunks", "transfer-encoding: gzip, chunked"),
        (
            "a coding in a line before chunks",
            "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        ),
        ("chunks twice", "transfer-encoding: chunked, chunked"),
    ] {
        let chunks = format!("2\r\nok\r\n0\r\n\r\n{ANOTHER}");
        cases.push(case(name, 502, &ok(headers, &chunks)));
    }
    for (name, sent) in [
        (
            "another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        ),
        ("no version", "200 OK\r\ncontent-length: 2\r\n\r\nok"),
        (
            "a version that is none",
            "HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ),
        ("the beginning of HTTP/2", "\0\0\0\x04\0\0\0\0\0"),
    ] {
        cases.push(case(name, 502, &format!("{sent}{ANOTHER}")));
    }
    cases
}

impl Case {
    async fn differs(&self, lab: &Lab) -> Option<String> {
        let host = lab.wiretap.host();
        let mut client = connect(&lab.world, &lab.wiretap).await;
        let length = self.sent.len();
        client
            .offer(
                format!(
                    "POST {REPLY} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{}",
                    self.sent
                )
                .as_bytes(),
            )
            .await;
        client.offer(get(SENTINEL, &host).as_bytes()).await;
        client.until_or_end(&format!("\r\n\r\n{SENTINEL}")).await;
        let text = client.text();
        let gets = statuses(&text);
        (gets != [self.status, 200] || text.contains(HIDDEN)).then(|| {
            let Self { name, status, .. } = self;
            format!("{name}: got {gets:?}, not {status} and 200:\n{text}")
        })
    }
}

#[tokio::test]
async fn what_a_service_sends_behind_a_reply_is_no_reply_to_the_next_request() {
    within(async {
        let lab = Lab::new().await;
        let mut differences = Vec::new();
        for case in cases() {
            differences.extend(case.differs(&lab).await);
        }
        none(&differences);
    })
    .await;
}

/// What the client gets for that reply to a request for a WebSocket.
async fn changed(lab: &Lab, asked: &str, reply: &str) -> String {
    let host = lab.wiretap.host();
    let mut client = connect(&lab.world, &lab.wiretap).await;
    let length = reply.len();
    client
        .offer(
            format!(
                "POST {REPLY} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: {asked}\r\nContent-Length: {length}\r\n\r\n{reply}"
            )
            .as_bytes(),
        )
        .await;
    client.until_or_end("\r\n\r\n").await;
    client.text()
}

fn switching(reason: &str, protocol: &str) -> String {
    format!("HTTP/1.1 101 {reason}\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n")
}

#[tokio::test]
async fn a_connection_changes_to_a_websocket_that_was_asked_for_and_to_nothing_else() {
    within(async {
        let lab = Lab::new().await;
        for (asked, protocol, status) in [
            ("websocket", "websocket", 101),
            ("WebSocket", "WEBSOCKET", 101),
            ("websocket", "h2c", 502),
            ("websocket", "websocket, h2c", 502),
            ("h2c", "h2c", 502),
            ("H2C", "H2C", 502),
            ("x, h2c", "h2c", 502),
            ("TLS/1.0", "TLS/1.0", 502),
        ] {
            let text = changed(&lab, asked, &switching("Switching Protocols", protocol)).await;
            assert_eq!(statuses(&text), [status], "{asked}, {protocol}: {text}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_reason_of_a_change_of_protocol_tells_nothing() {
    within(async {
        let lab = Lab::new().await;
        let text = changed(&lab, "websocket", &switching(SECRET, "websocket")).await;
        assert_eq!(statuses(&text), [101], "{text}");
        assert!(!text.contains(SECRET), "{text}");
    })
    .await;
}

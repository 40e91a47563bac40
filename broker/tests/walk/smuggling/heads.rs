//! Lines, fields, hosts and targets (RFC 9112, 2, 3 and 5).

use super::{BAD, Case, MISDIRECTED, UNDERSTOOD_NOT, carried, refused};

const A: &[&str] = &["GET /a"];

/// How heads are written.
pub(super) fn written() -> Vec<Case> {
    [lines(), fields(), sizes()].into_iter().flatten().collect()
}

/// Whom they are for, and what they ask.
pub(super) fn meant() -> Vec<Case> {
    [hosts(), targets(), changes()]
        .into_iter()
        .flatten()
        .collect()
}

fn lines() -> Vec<Case> {
    let mut cases = vec![
        carried(
            "an empty line before",
            A,
            &b"\r\nGET /a HTTP/1.1\r\nHost: {h}\r\n\r\n"[..],
        ),
        // RFC 9112, 2.2 allows it; what arrives has both.
        carried(
            "lines that end in LF",
            A,
            &b"GET /a HTTP/1.1\nHost: {h}\n\n"[..],
        ),
    ];
    for (name, sent) in [
        (
            "a NUL before",
            &b"\0GET /a HTTP/1.1\r\nHost: {h}\r\n\r\n"[..],
        ),
        ("a space before", b" GET /a HTTP/1.1\r\nHost: {h}\r\n\r\n"),
        ("two spaces", b"GET  /a HTTP/1.1\r\nHost: {h}\r\n\r\n"),
        ("a tab", b"GET\t/a HTTP/1.1\r\nHost: {h}\r\n\r\n"),
        ("a space behind", b"GET /a HTTP/1.1 \r\nHost: {h}\r\n\r\n"),
        ("four words", b"GET /a b HTTP/1.1\r\nHost: {h}\r\n\r\n"),
        ("a CR within", b"GET /a\rb HTTP/1.1\r\nHost: {h}\r\n\r\n"),
        (
            "a line that ends in CR",
            b"GET /a HTTP/1.1\rHost: {h}\r\n\r\n",
        ),
        ("HTTP/0.9", b"GET /a\r\n"),
        (
            "a version of one digit",
            b"GET /a HTTP/1\r\nHost: {h}\r\n\r\n",
        ),
        (
            "a version of three digits",
            b"GET /a HTTP/1.10\r\nHost: {h}\r\n\r\n",
        ),
        (
            "a version that is none",
            b"GET /a HTTP/1.2\r\nHost: {h}\r\n\r\n",
        ),
        (
            "a version in lower case",
            b"GET /a http/1.1\r\nHost: {h}\r\n\r\n",
        ),
        (
            "a method with a bracket",
            b"GE(T /a HTTP/1.1\r\nHost: {h}\r\n\r\n",
        ),
        ("no target", b"GET HTTP/1.1\r\nHost: {h}\r\n\r\n"),
    ] {
        cases.push(refused(name, BAD, sent));
    }
    // It is told nothing that it would not understand.
    cases.push(refused(
        "the beginning of HTTP/2",
        &[],
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
    ));
    cases
}

fn fields() -> Vec<Case> {
    let with = |field: &[u8]| [b"GET /a HTTP/1.1\r\nHost: {h}\r\n", field, b"\r\n\r\n"].concat();
    let mut cases = vec![
        carried("space around a value", A, with(b"X-A: \t 1 \t ")),
        carried(
            "bytes beyond ASCII in a value",
            A,
            with("X-A: ä".as_bytes()),
        ),
        // Others than the usual one. It is a header of its own, and of no meaning here.
        carried(
            "a name that is only like another",
            A,
            with(b"Transfer_Encoding: chunked\r\nContent-Length_: 5"),
        ),
    ];
    for (name, field) in [
        ("a NUL in a value", &b"X-A: a\0b"[..]),
        ("a CR in a value", b"X-A: a\rX-B: b"),
        ("a NUL in a name", b"X\0-A: 1"),
        ("a space in a name", b"X A: 1"),
        ("a space before the colon", b"X-A : 1"),
        ("a tab before the colon", b"X-A\t: 1"),
        ("no name", b": 1"),
        ("no colon", b"X-A"),
        ("a folded line", b"X-A: 1\r\n 2"),
        ("a line folded by a tab", b"X-A: 1\r\n\t2"),
        ("a name beyond ASCII", "X-Ä: 1".as_bytes()),
        ("a line of space", b"X-A: 1\r\n "),
    ] {
        cases.push(refused(name, BAD, with(field)));
    }
    cases
}

fn hosts() -> Vec<Case> {
    let with = |hosts: &str| format!("GET /a HTTP/1.1\r\n{hosts}\r\n").into_bytes();
    vec![
        carried("a host in capitals", A, with("HOST: LOCALHOST\r\n")),
        refused("no host", UNDERSTOOD_NOT, with("")),
        refused(
            "two hosts",
            UNDERSTOOD_NOT,
            with("Host: {h}\r\nHost: {h}\r\n"),
        ),
        refused(
            "two other hosts",
            UNDERSTOOD_NOT,
            with("Host: {h}\r\nHost: other.example\r\n"),
        ),
        refused(
            "a list of hosts",
            UNDERSTOOD_NOT,
            with("Host: {h}, other.example\r\n"),
        ),
        refused("an empty host", UNDERSTOOD_NOT, with("Host:\r\n")),
        refused(
            "a host with a user",
            UNDERSTOOD_NOT,
            with("Host: other.example@{h}\r\n"),
        ),
        refused(
            "a host with a path",
            UNDERSTOOD_NOT,
            with("Host: {h}/a\r\n"),
        ),
        refused(
            "a host with a fragment",
            UNDERSTOOD_NOT,
            with("Host: {h}#.other.example\r\n"),
        ),
        refused("another host", MISDIRECTED, with("Host: other.example\r\n")),
        refused(
            "a host that begins so",
            MISDIRECTED,
            with("Host: localhost.other.example\r\n"),
        ),
        refused("another port", MISDIRECTED, with("Host: localhost:1\r\n")),
        refused(
            "a host with a space before the colon",
            BAD,
            with("Host : {h}\r\n"),
        ),
        refused(
            "a folded host",
            BAD,
            with("Host: {h}\r\n .other.example\r\n"),
        ),
    ]
}

fn targets() -> Vec<Case> {
    let of = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {{h}}\r\n\r\n").into_bytes();
    vec![
        carried("a URL in full", A, of("https://{h}/a")),
        // RFC 9112, 3.2.1: it is a path.
        carried(
            "a path that looks like a host",
            &["GET //other.example/a"],
            of("//other.example/a"),
        ),
        carried(
            "a query with a URL",
            &["GET /a?u=https://other.example/"],
            of("/a?u=https://other.example/"),
        ),
        carried("a fragment", A, of("/a#/../b")),
        carried(
            "all of the host",
            &["OPTIONS *"],
            &b"OPTIONS * HTTP/1.1\r\nHost: {h}\r\n\r\n"[..],
        ),
        refused(
            "a URL of another host",
            MISDIRECTED,
            of("https://other.example/a"),
        ),
        refused(
            "a URL of this host, with another in the header",
            MISDIRECTED,
            &b"GET https://{h}/a HTTP/1.1\r\nHost: other.example\r\n\r\n"[..],
        ),
        refused(
            "a URL with a user",
            UNDERSTOOD_NOT,
            of("https://other.example@{h}/a"),
        ),
        refused(
            "a URL of another scheme",
            UNDERSTOOD_NOT,
            of("http://{h}/a"),
        ),
        refused(
            "a URL of no scheme of HTTP",
            UNDERSTOOD_NOT,
            of("ftp://{h}/a"),
        ),
        refused("a star for GET", UNDERSTOOD_NOT, of("*")),
        refused("a host alone", MISDIRECTED, of("other.example:443")),
        refused("a path without a slash", BAD, of("a/b")),
        refused("a query alone", BAD, of("?a")),
        refused("a backslash for a slash", BAD, of("\\a")),
        refused(
            "a tunnel",
            &[405, 200],
            &b"CONNECT {h} HTTP/1.1\r\nHost: {h}\r\n\r\n"[..],
        ),
        refused(
            "a trace",
            &[405, 200],
            &b"TRACE /a HTTP/1.1\r\nHost: {h}\r\n\r\n"[..],
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let many = |count: usize| {
        let lines: Vec<_> = (1..count)
            .map(|number| format!("X-{number}: 1\r\n"))
            .collect();
        let lines = lines.concat();
        format!("GET /a HTTP/1.1\r\nHost: {{h}}\r\n{lines}\r\n").into_bytes()
    };
    let long = |length: usize| {
        let value = "a".repeat(length);
        format!("GET /a HTTP/1.1\r\nHost: {{h}}\r\nX-A: {value}\r\n\r\n").into_bytes()
    };
    vec![
        carried("as many headers as are read", A, many(100)),
        refused("more headers than are read", &[431], many(101)),
        carried("a long header", A, long(60 << 10)),
        refused("a header that is too long", &[431], long(65 << 10)),
        refused(
            "a header without an end",
            &[431],
            [
                &b"GET /a HTTP/1.1\r\nHost: {h}\r\nX-A: "[..],
                &vec![b'a'; 1 << 20],
            ]
            .concat(),
        ),
        refused(
            "a target that is too long",
            &[431],
            format!(
                "GET /{} HTTP/1.1\r\nHost: {{h}}\r\n\r\n",
                "a".repeat(65 << 10)
            )
            .into_bytes(),
        ),
    ]
}

/// Changes of the protocol that nobody agrees to: what follows is the next request, and decided as one.
fn changes() -> Vec<Case> {
    let with =
        |fields: &str| format!("GET /a HTTP/1.1\r\nHost: {{h}}\r\n{fields}\r\n\r\n").into_bytes();
    vec![
        carried(
            "a change to HTTP/2",
            A,
            with(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            ),
        ),
        carried(
            "a change to HTTP/2 in capitals",
            A,
            with("Connection: Upgrade\r\nUpgrade: H2C"),
        ),
        carried(
            "a change to HTTP/2 behind another",
            A,
            with("Connection: Upgrade\r\nUpgrade: x, h2c"),
        ),
        carried(
            "a change to HTTP/2 behind a WebSocket",
            A,
            with("Connection: Upgrade\r\nUpgrade: websocket, h2c"),
        ),
        carried(
            "a change to TLS",
            A,
            with("Connection: Upgrade\r\nUpgrade: TLS/1.0"),
        ),
        carried(
            "a change that the service refuses",
            A,
            with("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99"),
        ),
        carried(
            "an expectation without a body",
            A,
            with("Expect: 100-continue"),
        ),
    ]
}

//! Names and values of a head (RFC 9113, 8.2).

use super::{A, CARRIED, Case, Field, MALFORMED, UNREADABLE, with};

/// Heads that ask for the same.
pub(in super::super) fn heads() -> Vec<Case> {
    let mut cases = vec![
        with("nothing more", CARRIED, A, &[]),
        with("a header", CARRIED, A, &[("x-a", "1")]),
        with("trailers are taken", CARRIED, A, &[("te", "trailers")]),
        with(
            "cookies apart",
            CARRIED,
            A,
            &[("cookie", "a=1"), ("cookie", "b=2")],
        ),
        with("a name in capitals", UNREADABLE, &[], &[("X-A", "1")]),
        with("an empty name", UNREADABLE, &[], &[("", "1")]),
        with(
            "a pseudo-header behind a header",
            MALFORMED,
            &[],
            &[("x-a", "1"), (":path", "/b")],
        ),
        with(
            "an unknown pseudo-header",
            UNREADABLE,
            &[],
            &[(":other", "1")],
        ),
        with("a status", MALFORMED, &[], &[(":status", "200")]),
        with("two paths", MALFORMED, &[], &[(":path", "/b")]),
        with("two methods", MALFORMED, &[], &[(":method", "POST")]),
        with("two authorities", MALFORMED, &[], &[(":authority", "{h}")]),
        with("two schemes", MALFORMED, &[], &[(":scheme", "{s}")]),
    ];
    for (name, value) in [
        ("a line in a value", "1\r\nx-b: 2"),
        (
            "a request in a value",
            "1\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n",
        ),
        ("LF in a value", "1\nx-b: 2"),
        ("CR in a value", "1\rx-b: 2"),
        ("NUL in a value", "1\0"),
    ] {
        cases.push(with(name, UNREADABLE, &[], &[("x-a", value)]));
    }
    for (name, field) in [
        ("a line in a name", "x-a: 1\r\nx-b"),
        ("a colon in a name", "x-a:"),
        ("a space in a name", "x a"),
        ("NUL in a name", "x\0a"),
    ] {
        cases.push(with(name, UNREADABLE, &[], &[(field, "1")]));
    }
    for (name, field) in [
        ("a coding", ("transfer-encoding", "chunked")),
        ("a coding that is none", ("transfer-encoding", "identity")),
        ("a header of the connection", ("connection", "close")),
        ("a change of protocol", ("upgrade", "websocket")),
        ("a kept connection", ("keep-alive", "timeout=5")),
        ("a proxy's connection", ("proxy-connection", "close")),
        ("codings that are taken", ("te", "gzip")),
    ] {
        cases.push(with(name, MALFORMED, &[], &[field]));
    }
    let many: Vec<Field> = (0..101).map(|_| ("x-a", "1")).collect();
    cases.push(with("more headers than are read", "431, 200", &[], &many));
    let long = "a".repeat(70 << 10).leak();
    cases.push(with(
        "a header that is too long",
        "431, 200",
        &[],
        &[("x-a", long)],
    ));
    cases
}

//! What a request asks, and whom (RFC 9113, 8.3.1).

use super::{
    A, CARRIED, Case, MALFORMED, MISDIRECTED, NOT_UNDERSTOOD, UNREADABLE, case, pseudo, with,
};

/// Pseudo-headers and hosts.
pub(in super::super) fn asked() -> Vec<Case> {
    let mut cases = hosts();
    cases.extend(left_out());
    cases.extend(written());
    cases.extend([
        case(
            "a fragment",
            CARRIED,
            A,
            pseudo("GET", "{s}", "{h}", "/a#/../b"),
        ),
        case(
            "all of the host",
            CARRIED,
            &["OPTIONS *"],
            pseudo("OPTIONS", "{s}", "{h}", "*"),
        ),
        case(
            "a tunnel",
            "405, 200",
            &[],
            vec![(":method", "CONNECT"), (":authority", "{h}")],
        ),
        case(
            "a tunnel for another protocol",
            MALFORMED,
            &[],
            [
                &pseudo("CONNECT", "{s}", "{h}", "/a")[..],
                &[(":protocol", "websocket")],
            ]
            .concat(),
        ),
    ]);
    cases
}

fn hosts() -> Vec<Case> {
    let host = |name, gets, arrives, host| {
        let mut fields = pseudo("GET", "{s}", "{h}", "/a");
        fields.retain(|(field, _)| *field != ":authority");
        fields.push(("host", host));
        case(name, gets, arrives, fields)
    };
    let other = ("host", "other.example");
    let same = ("host", "{h}");
    vec![
        host("a host for an authority", CARRIED, A, "{h}"),
        host(
            "another host for an authority",
            MISDIRECTED,
            &[],
            "other.example",
        ),
        with("a host beside the authority", CARRIED, A, &[same]),
        with(
            "another host beside the authority",
            MISDIRECTED,
            &[],
            &[other],
        ),
        with("two hosts", NOT_UNDERSTOOD, &[], &[same, same]),
    ]
}

fn left_out() -> Vec<Case> {
    let rows = [
        ("no authority", NOT_UNDERSTOOD, ":authority"),
        ("no path", MALFORMED, ":path"),
        ("no method", MALFORMED, ":method"),
        ("no scheme", MALFORMED, ":scheme"),
    ];
    let without = |(name, gets, left_out)| {
        let mut fields = pseudo("GET", "{s}", "{h}", "/a");
        fields.retain(|(field, _)| *field != left_out);
        case(name, gets, &[], fields)
    };
    rows.map(without).into()
}

/// Each with one pseudo-header that is written otherwise.
fn written() -> Vec<Case> {
    let (to, request) = (":authority", "/a HTTP/1.1\r\nhost: other.example\r\n\r\n");
    let rows = [
        ("another authority", MISDIRECTED, to, "other.example"),
        ("another port", MISDIRECTED, to, "localhost:1"),
        (
            "an authority with a user",
            NOT_UNDERSTOOD,
            to,
            "other.example@{h}",
        ),
        ("an authority with a path", MALFORMED, to, "{h}/b"),
        ("an authority with a line", MALFORMED, to, "{h}\r\nx-a: 1"),
        ("an empty authority", MALFORMED, to, ""),
        ("an empty path", MALFORMED, ":path", ""),
        ("a path without a slash", MALFORMED, ":path", "a"),
        ("a star for GET", NOT_UNDERSTOOD, ":path", "*"),
        (
            "a URL for a path",
            MALFORMED,
            ":path",
            "https://other.example/",
        ),
        ("a space in a path", MALFORMED, ":path", "/a HTTP/1.1"),
        ("a request in a path", MALFORMED, ":path", request),
        ("NUL in a path", MALFORMED, ":path", "/a\0"),
        ("a space in a method", UNREADABLE, ":method", "GET /b"),
        (
            "a line in a method",
            UNREADABLE,
            ":method",
            "GET /b HTTP/1.1\r\n",
        ),
        ("an empty method", UNREADABLE, ":method", ""),
        ("a trace", "405, 200", ":method", "TRACE"),
        ("another scheme", NOT_UNDERSTOOD, ":scheme", "ftp"),
        (
            "a URL for a scheme",
            MALFORMED,
            ":scheme",
            "https://other.example/?",
        ),
    ];
    let with = |(name, gets, changed, value)| {
        let mut fields = pseudo("GET", "{s}", "{h}", "/a");
        for field in &mut fields {
            if field.0 == changed {
                field.1 = value;
            }
        }
        case(name, gets, &[], fields)
    };
    rows.map(with).into()
}

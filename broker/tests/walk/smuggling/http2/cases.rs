//! Requests of HTTP/2 (RFC 9113, 8), and what becomes of them.

/// A name and its value; `{h}` stands for the host, `{s}` for the scheme.
type Field = (&'static str, &'static str);

/// One case: a request as stream 1, which an ordinary one follows.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
    pub(super) data: Vec<&'static str>,
    pub(super) trailers: Vec<Field>,
    /// What comes back for both.
    pub(super) gets: &'static str,
    /// The requests that arrive, each with its body; without the ordinary one.
    pub(super) arrives: &'static [&'static str],
}

const CARRIED: &str = "200, 200";
/// `PROTOCOL_ERROR`: the request is malformed (RFC 9113, 8.1.1).
const MALFORMED: &str = "reset 1, 200";
/// The same, of the whole connection.
const UNREADABLE: &str = "gone away 1";
const MISDIRECTED: &str = "421, 200";
const NOT_UNDERSTOOD: &str = "400, 200";

const A: &[&str] = &["GET /a"];

fn pseudo(
    method: &'static str,
    scheme: &'static str,
    authority: &'static str,
    path: &'static str,
) -> Vec<Field> {
    vec![
        (":method", method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", path),
    ]
}

fn case(
    name: &'static str,
    gets: &'static str,
    arrives: &'static [&'static str],
    fields: Vec<Field>,
) -> Case {
    Case {
        name,
        fields,
        data: Vec::new(),
        trailers: Vec::new(),
        gets,
        arrives,
    }
}

/// One with headers beside the usual ones.
fn with(
    name: &'static str,
    gets: &'static str,
    arrives: &'static [&'static str],
    more: &[Field],
) -> Case {
    let fields = [&pseudo("GET", "{s}", "{h}", "/a")[..], more].concat();
    case(name, gets, arrives, fields)
}

/// Names and values.
pub(super) fn heads() -> Vec<Case> {
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

/// Pseudo-headers and hosts.
pub(super) fn asked() -> Vec<Case> {
    let asks = |name, gets, method, scheme, authority, path| {
        case(name, gets, &[], pseudo(method, scheme, authority, path))
    };
    let without = |name, gets, left_out| {
        let mut fields = pseudo("GET", "{s}", "{h}", "/a");
        fields.retain(|(field, _)| *field != left_out);
        case(name, gets, &[], fields)
    };
    let host = |name, gets, arrives, host| {
        let mut fields = pseudo("GET", "{s}", "{h}", "/a");
        fields.retain(|(field, _)| *field != ":authority");
        fields.push(("host", host));
        case(name, gets, arrives, fields)
    };
    vec![
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
        host("a host for an authority", CARRIED, A, "{h}"),
        with(
            "a host beside the authority",
            CARRIED,
            A,
            &[("host", "{h}")],
        ),
        with(
            "another host beside the authority",
            MISDIRECTED,
            &[],
            &[("host", "other.example")],
        ),
        with(
            "two hosts",
            NOT_UNDERSTOOD,
            &[],
            &[("host", "{h}"), ("host", "{h}")],
        ),
        host(
            "another host for an authority",
            MISDIRECTED,
            &[],
            "other.example",
        ),
        without("no authority", NOT_UNDERSTOOD, ":authority"),
        without("no path", MALFORMED, ":path"),
        without("no method", MALFORMED, ":method"),
        without("no scheme", MALFORMED, ":scheme"),
        asks(
            "another authority",
            MISDIRECTED,
            "GET",
            "{s}",
            "other.example",
            "/a",
        ),
        asks(
            "another port",
            MISDIRECTED,
            "GET",
            "{s}",
            "localhost:1",
            "/a",
        ),
        asks(
            "an authority with a user",
            NOT_UNDERSTOOD,
            "GET",
            "{s}",
            "other.example@{h}",
            "/a",
        ),
        asks(
            "an authority with a path",
            MALFORMED,
            "GET",
            "{s}",
            "{h}/b",
            "/a",
        ),
        asks(
            "an authority with a line",
            MALFORMED,
            "GET",
            "{s}",
            "{h}\r\nx-a: 1",
            "/a",
        ),
        asks("an empty authority", MALFORMED, "GET", "{s}", "", "/a"),
        asks("an empty path", MALFORMED, "GET", "{s}", "{h}", ""),
        asks(
            "a path without a slash",
            MALFORMED,
            "GET",
            "{s}",
            "{h}",
            "a",
        ),
        asks("a star for GET", NOT_UNDERSTOOD, "GET", "{s}", "{h}", "*"),
        asks(
            "a URL for a path",
            MALFORMED,
            "GET",
            "{s}",
            "{h}",
            "https://other.example/",
        ),
        asks(
            "a space in a path",
            MALFORMED,
            "GET",
            "{s}",
            "{h}",
            "/a HTTP/1.1",
        ),
        asks(
            "a line in a path",
            MALFORMED,
            "GET",
            "{s}",
            "{h}",
            "/a HTTP/1.1\r\nhost: other.example\r\n\r\n",
        ),
        asks("NUL in a path", MALFORMED, "GET", "{s}", "{h}", "/a\0"),
        asks(
            "a space in a method",
            UNREADABLE,
            "GET /b",
            "{s}",
            "{h}",
            "/a",
        ),
        asks(
            "a line in a method",
            UNREADABLE,
            "GET /b HTTP/1.1\r\n",
            "{s}",
            "{h}",
            "/a",
        ),
        asks("an empty method", UNREADABLE, "", "{s}", "{h}", "/a"),
        asks("another scheme", NOT_UNDERSTOOD, "GET", "ftp", "{h}", "/a"),
        asks(
            "a URL for a scheme",
            MALFORMED,
            "GET",
            "https://other.example/?",
            "{h}",
            "/a",
        ),
        asks("a trace", "405, 200", "TRACE", "{s}", "{h}", "/a"),
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
    ]
}

/// Lengths, data and trailers.
pub(super) fn bodies() -> Vec<Case> {
    let post =
        |name, gets, arrives, more: &[Field], data: &[&'static str], trailers: &[Field]| Case {
            data: data.to_vec(),
            trailers: trailers.to_vec(),
            ..case(
                name,
                gets,
                arrives,
                [&pseudo("POST", "{s}", "{h}", "/a")[..], more].concat(),
            )
        };
    let hello: &[&str] = &["POST /a hello"];
    let five: &[Field] = &[("content-length", "5")];
    let none: &[Field] = &[];
    vec![
        post("a body", CARRIED, hello, none, &["hel", "lo"], none),
        post(
            "a body of a length",
            CARRIED,
            hello,
            five,
            &["hel", "", "lo"],
            none,
        ),
        post(
            "a request in a body",
            CARRIED,
            &["POST /a GET /smuggled HTTP/1.1\r\n\r\n"],
            none,
            &["GET /smuggled HTTP/1.1\r\n\r\n"],
            none,
        ),
        post(
            "an end of chunks in a body",
            CARRIED,
            &["POST /a 0\r\n\r\n"],
            none,
            &["0\r\n\r\n"],
            none,
        ),
        post("a shorter body", MALFORMED, &[], five, &["hel"], none),
        post(
            "a longer body",
            MALFORMED,
            &[],
            five,
            &["hello", " you"],
            none,
        ),
        post(
            "a body of no length",
            MALFORMED,
            &[],
            &[("content-length", "0")],
            &["hello"],
            none,
        ),
        post("a length without a body", MALFORMED, &[], five, &[], none),
        post(
            "two lengths",
            MALFORMED,
            &[],
            &[("content-length", "5"), ("content-length", "6")],
            &["hello"],
            none,
        ),
        post(
            "a list of lengths",
            MALFORMED,
            &[],
            &[("content-length", "5, 5")],
            &["hello"],
            none,
        ),
        post(
            "a sign",
            MALFORMED,
            &[],
            &[("content-length", "+5")],
            &["hello"],
            none,
        ),
        post(
            "no digits",
            MALFORMED,
            &[],
            &[("content-length", "")],
            &["hello"],
            none,
        ),
        post(
            "more than 64 bits",
            MALFORMED,
            &[],
            &[("content-length", "18446744073709551621")],
            &["hello"],
            none,
        ),
        post(
            "a trailer",
            CARRIED,
            hello,
            &[("trailer", "x-sum")],
            &["hello"],
            &[("x-sum", "1")],
        ),
        post(
            "a trailer that frames",
            CARRIED,
            hello,
            &[("trailer", "content-length")],
            &["hello"],
            &[("content-length", "9")],
        ),
        post(
            "a trailer that is a credential",
            CARRIED,
            hello,
            &[("trailer", "authorization")],
            &["hello"],
            &[("authorization", "Bearer own")],
        ),
        post(
            "a trailer that is a coding",
            MALFORMED,
            &[],
            none,
            &["hello"],
            &[("transfer-encoding", "chunked")],
        ),
        // Malformed (RFC 9113, 8.1), but nobody sees it: it is no trailer of what arrives.
        post(
            "a trailer that is a pseudo-header",
            CARRIED,
            hello,
            none,
            &["hello"],
            &[(":path", "/b")],
        ),
    ]
}

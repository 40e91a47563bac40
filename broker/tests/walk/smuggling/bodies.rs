//! Lengths, codings and chunks (RFC 9112, 6 and 7).

use super::{BAD, Case, carried, refused};

/// Refused while it was being carried already: nothing whole arrives.
const WITHIN: &[u16] = BAD;
/// `chunked` was the last coding: it is known where the next request begins.
const CODING_NOT_CARRIED: &[u16] = &[501, 200];

/// A request that is carried, and whose connection then ends (RFC 9112, 6.1).
fn last(name: &'static str, arrives: &'static [&'static str], sent: &'static [u8]) -> Case {
    Case {
        gets: &[200],
        ..carried(name, arrives, sent)
    }
}

/// With a body behind `headers`.
fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /a HTTP/1.1\r\nHost: {{h}}\r\n{headers}\r\n\r\n{body}").into_bytes()
}

/// Lengths and codings.
pub(super) fn framed() -> Vec<Case> {
    [lengths(), both(), codings()]
        .into_iter()
        .flatten()
        .collect()
}

/// What comes in chunks.
pub(super) fn chunked() -> Vec<Case> {
    [chunks(), trailers()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    let hello: &[&str] = &["POST /a hello"];
    let mut cases = vec![
        carried("one length", hello, post("Content-Length: 5", "hello")),
        carried(
            "the same length twice",
            hello,
            post("Content-Length: 5\r\nContent-Length: 5", "hello"),
        ),
        carried(
            "a request in a body",
            &["POST /a GET /smuggled HTTP/1.1\r\n\r\n"],
            post("Content-Length: 26", "GET /smuggled HTTP/1.1\r\n\r\n"),
        ),
        carried(
            "a length that is named as of this hop",
            hello,
            post(
                "Content-Length: 5\r\nConnection: content-length, host, authorization",
                "hello",
            ),
        ),
        carried(
            "a GET with a body",
            &["GET /a hello"],
            &b"GET /a HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\n\r\nhello"[..],
        ),
    ];
    for (name, length) in [
        ("two lengths", "5\r\nContent-Length: 6"),
        ("two lengths, the shorter last", "5\r\nContent-Length: 0"),
        ("a list of lengths", "5, 5"),
        ("a list of two lengths", "5, 6"),
        ("a sign", "+5"),
        ("a negative length", "-5"),
        ("a hexadecimal length", "0x5"),
        ("a space within", "5 5"),
        ("a comma behind", "5,"),
        ("no digits", ""),
        ("a fraction", "5.0"),
        ("a form feed before", "\x0c5"),
        ("more than 64 bits", "18446744073709551621"),
    ] {
        cases.push(refused(
            name,
            BAD,
            post(&format!("Content-Length: {length}"), "hello"),
        ));
    }
    cases
}

/// Of two framings, the coding counts, and nothing that follows is read.
fn both() -> Vec<Case> {
    vec![
        last(
            "a length before the coding",
            &["POST /a"],
            b"POST /a HTTP/1.1\r\nHost: {h}\r\nContent-Length: 30\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        ),
        last(
            "a length behind the coding",
            &["POST /a GET /smuggled HTTP/1.1\r\n\r\n"],
            b"POST /a HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1a\r\nGET /smuggled HTTP/1.1\r\n\r\n\r\n0\r\n\r\n",
        ),
        refused(
            "two lengths before the coding",
            BAD,
            &b"POST /a HTTP/1.1\r\nHost: {h}\r\nContent-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        ),
    ]
}

fn codings() -> Vec<Case> {
    let mut cases = vec![
        carried(
            "a coding in capitals, with space around",
            &["POST /a hello"],
            post("transfer-encoding: \t CHUNKED \t", "5\r\nhello\r\n0\r\n\r\n"),
        ),
        refused(
            "a coding in HTTP/1.0",
            BAD,
            &b"POST /a HTTP/1.0\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        ),
    ];
    for (name, coding) in [
        ("a coding that is none", "xchunked"),
        ("a coding in quotes", "\"chunked\""),
        ("a coding with a parameter", "chunked;q=1"),
        ("chunked, but not last", "chunked, identity"),
        ("another coding", "gzip"),
        ("identity", "identity"),
        ("no coding", ""),
        ("a vertical tab before", "\x0bchunked"),
        ("a NUL behind", "chunked\0"),
        ("a folded line", "\r\n chunked"),
    ] {
        let headers = format!("Transfer-Encoding: {coding}");
        cases.push(refused(
            name,
            BAD,
            post(&headers, "5\r\nhello\r\n0\r\n\r\n"),
        ));
    }
    for (name, coding) in [
        ("two codings", "gzip, chunked"),
        ("chunked twice", "chunked, chunked"),
        (
            "chunked in two lines",
            "chunked\r\nTransfer-Encoding: chunked",
        ),
        (
            "another coding in a line before",
            "identity\r\nTransfer-Encoding: chunked",
        ),
        ("an empty coding before", ", chunked"),
    ] {
        let headers = format!("Transfer-Encoding: {coding}");
        cases.push(refused(
            name,
            CODING_NOT_CARRIED,
            post(&headers, "5\r\nhello\r\n0\r\n\r\n"),
        ));
    }
    cases.push(refused(
        "a space before the colon",
        BAD,
        post("Content-Length: 5\r\nTransfer-Encoding : chunked", "hello"),
    ));
    cases.push(refused(
        "a space before the name",
        BAD,
        post("Content-Length: 5\r\n Transfer-Encoding: chunked", "hello"),
    ));
    cases
}

fn chunks() -> Vec<Case> {
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    let hello: &[&str] = &["POST /a hello"];
    let mut cases = vec![
        carried(
            "an extension",
            hello,
            chunked("5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"),
        ),
        carried(
            "zeros before the size",
            hello,
            chunked("0005\r\nhello\r\n000\r\n\r\n"),
        ),
    ];
    for (name, body) in [
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
        ("an extension without a size", ";a\r\nhello\r\n0\r\n\r\n"),
        (
            "a size of more than 64 bits",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        ("a size that ends in LF", "5\nhello\r\n0\r\n\r\n"),
        ("an extension with LF", "5;a\nhello\r\n0\r\n\r\n"),
        ("an extension with CR", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
        ("a chunk that ends in LF", "5\r\nhello\n0\r\n\r\n"),
        ("a chunk without an end", "5\r\nhello0\r\n\r\n"),
        ("an end in LF", "5\r\nhello\r\n0\n\n"),
        ("no last chunk", "5\r\nhello\r\n"),
    ] {
        cases.push(refused(name, WITHIN, chunked(body)));
    }
    cases
}

fn trailers() -> Vec<Case> {
    let with = |trailers: &str| {
        post(
            "Transfer-Encoding: chunked\r\nTrailer: x-sum, host, authorization, content-length, transfer-encoding, x-api-key, x_api_key",
            &format!("5\r\nhello\r\n0\r\n{trailers}\r\n"),
        )
    };
    let hello: &[&str] = &["POST /a hello"];
    vec![
        carried("a trailer", hello, with("X-Sum: 1\r\n")),
        carried(
            "a trailer that frames",
            hello,
            with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
        ),
        carried(
            "a trailer that is a credential",
            hello,
            with("Authorization: Bearer own\r\n"),
        ),
        carried(
            "trailers that are keys",
            hello,
            with("X-Api-Key: own\r\nX_Api_Key: own\r\n"),
        ),
        carried(
            "a trailer that is a host",
            hello,
            with("Host: other.example\r\n"),
        ),
        refused(
            "a trailer with a space before the colon",
            WITHIN,
            with("X-Sum : 1\r\n"),
        ),
        refused("a trailer with a NUL", WITHIN, with("X-Sum: \0\r\n")),
    ]
}

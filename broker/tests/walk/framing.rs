//! Where a request ends, read as strictly as RFC 9112 allows: whatever is not plain is malformed.

use std::fmt::Write;

/// What a beginning of a stream is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// A request of so many bytes: its method and target, its headers a line each with names in lower case, its
    /// body decoded.
    Whole {
        line: String,
        headers: String,
        body: Vec<u8>,
        length: usize,
    },
    /// More has to come.
    Incomplete,
    /// No request, and why.
    Malformed(&'static str),
}

/// How long a body is.
enum Length {
    Known(usize),
    Chunked,
}

/// Reads the first request.
pub(crate) fn read(bytes: &[u8]) -> Framed {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return match bytes.first() {
            Some(first) if !first.is_ascii_uppercase() => Framed::Malformed("no method"),
            Some(_) | None => Framed::Incomplete,
        };
    };
    let start = end + 4;
    match head(&bytes[..end]) {
        Err(why) => Framed::Malformed(why),
        Ok((line, headers, length)) => {
            let rest = &bytes[start..];
            let body = match length {
                Length::Known(length) => Ok(rest.get(..length).map(|body| (body.to_vec(), length))),
                Length::Chunked => chunks(rest),
            };
            match body {
                Err(why) => Framed::Malformed(why),
                Ok(None) => Framed::Incomplete,
                Ok(Some((body, length))) => Framed::Whole {
                    line,
                    headers,
                    body,
                    length: start + length,
                },
            }
        }
    }
}

fn head(bytes: &[u8]) -> Result<(String, String, Length), &'static str> {
    // Values may have bytes beyond ASCII (RFC 9110, 5.5), which mean nothing here.
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let [method, target, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else {
        return Err("a request line that is not three words");
    };
    if method.is_empty() || target.is_empty() || text.contains('\0') || first.contains('\t') {
        return Err("an odd request line");
    }
    let mut headers = String::new();
    let mut lengths = Vec::new();
    let mut codings = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or("a header without `: `")?;
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) || value.contains(['\r', '\n']) {
            return Err("a header that is none");
        }
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "content-length" => lengths.push(value),
            "transfer-encoding" => codings.push(value),
            _ => {}
        }
        let _ = writeln!(headers, "{name}: {value}");
    }
    let hosts = headers.lines().filter(|line| line.starts_with("host: "));
    if hosts.count() != 1 {
        return Err("not exactly one Host");
    }
    let length = match (&lengths[..], &codings[..]) {
        ([], []) => Length::Known(0),
        ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            Length::Known(length.parse().map_err(|_| "a length that is none")?)
        }
        ([], ["chunked"]) => Length::Chunked,
        _ => return Err("framed in more than one way"),
    };
    Ok((format!("{method} {target}"), headers, length))
}

/// The body, and how many bytes it takes; nothing while more has to come.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| "an odd size")?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("a size of a chunk that is none");
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| "an odd size")?;
        at += line + 2;
        if size == 0 {
            return trailers(&bytes[at..]).map(|end| end.map(|end| (body, at + end)));
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        let (data, end) = chunk.split_at(size);
        if end != b"\r\n" {
            return Err("a chunk without its end");
        }
        body.extend_from_slice(data);
        at += size + 2;
    }
}

/// Where the trailers end.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let mut at = 0;
    while let Some(line) = find(&bytes[at..], b"\r\n") {
        let text = &bytes[at..at + line];
        at += line + 2;
        if text.is_empty() {
            return Ok(Some(at));
        }
        let name = text.split(|byte| *byte == b':').next().unwrap_or_default();
        if is_no_trailer(&String::from_utf8_lossy(name)) {
            return Err("a trailer that may be none");
        }
    }
    Ok(None)
}

/// What a recipient could take for a part of the head (RFC 9110, 6.5.1).
pub(crate) fn is_no_trailer(name: &str) -> bool {
    const HEAD: [&str; 9] = [
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "cookie",
        "x-api-key",
        "x_api_key",
    ];
    HEAD.iter().any(|head| name.eq_ignore_ascii_case(head))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_malformed() {
    let whole = |text: &str| matches!(read(text.as_bytes()), Framed::Whole { .. });
    let malformed = |text: &str| matches!(read(text.as_bytes()), Framed::Malformed(_));
    assert!(whole("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET"));
    assert!(whole(
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1"
    ));
    assert!(whole(
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n\r\n"
    ));
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n1",
        "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1",
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\n1\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\n11\r\n0\r\n\r\n",
    ] {
        assert!(malformed(text), "{text}");
    }
    assert_eq!(read(b"GET / HTTP/1.1\r\nhost: a\r\n"), Framed::Incomplete);
}

//! Lengths, data and trailers (RFC 9113, 8.1 and 8.1.1).

use super::{CARRIED, Case, Field, MALFORMED, case, pseudo};

const HELLO: &[&str] = &["POST /a hello"];

/// With a body.
pub(in super::super) fn bodies() -> Vec<Case> {
    let mut cases = lengths();
    cases.extend(carried());
    cases.extend(trailers());
    cases
}

fn post(
    name: &'static str,
    gets: &'static str,
    arrives: &'static [&'static str],
    more: &[Field],
    data: &[&'static str],
) -> Case {
    let fields = [&pseudo("POST", "{s}", "{h}", "/a")[..], more].concat();
    Case {
        data: data.to_vec(),
        ..case(name, gets, arrives, fields)
    }
}

fn carried() -> Vec<Case> {
    const SMUGGLED: &[&str] = &["POST /a GET /smuggled HTTP/1.1\r\n\r\n"];
    const END: &[&str] = &["POST /a 0\r\n\r\n"];
    let five = ("content-length", "5");
    vec![
        post("a body", CARRIED, HELLO, &[], &["hel", "lo"]),
        post(
            "a body of a length",
            CARRIED,
            HELLO,
            &[five],
            &["hel", "", "lo"],
        ),
        post(
            "a request in a body",
            CARRIED,
            SMUGGLED,
            &[],
            &["GET /smuggled HTTP/1.1\r\n\r\n"],
        ),
        post(
            "an end of chunks in a body",
            CARRIED,
            END,
            &[],
            &["0\r\n\r\n"],
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let rows: [(_, &[&str], &[&str]); 9] = [
        ("a shorter body", &["5"], &["hel"]),
        ("a longer body", &["5"], &["hello", " you"]),
        ("a body of no length", &["0"], &["hello"]),
        ("a length without a body", &["5"], &[]),
        ("two lengths", &["5", "6"], &["hello"]),
        ("a list of lengths", &["5, 5"], &["hello"]),
        ("a sign", &["+5"], &["hello"]),
        ("no digits", &[""], &["hello"]),
        ("more than 64 bits", &["18446744073709551621"], &["hello"]),
    ];
    let with = |(name, lengths, data): (_, &[&'static str], &[&'static str])| {
        let lengths: Vec<Field> = lengths
            .iter()
            .map(|length| ("content-length", *length))
            .collect();
        post(name, MALFORMED, &[], &lengths, data)
    };
    rows.map(with).into()
}

fn trailers() -> Vec<Case> {
    let rows = [
        ("a trailer", CARRIED, HELLO, ("x-sum", "1")),
        (
            "a trailer that frames",
            CARRIED,
            HELLO,
            ("content-length", "9"),
        ),
        (
            "a trailer that is a credential",
            CARRIED,
            HELLO,
            ("authorization", "Bearer own"),
        ),
        (
            "a trailer that is a coding",
            MALFORMED,
            &[],
            ("transfer-encoding", "chunked"),
        ),
        // Malformed (RFC 9113, 8.1), but nobody sees it: it is no trailer of what arrives.
        (
            "a trailer that is a pseudo-header",
            CARRIED,
            HELLO,
            (":path", "/b"),
        ),
    ];
    let with = |(name, gets, arrives, trailer): (_, _, _, Field)| Case {
        trailers: vec![trailer],
        ..post(name, gets, arrives, &[("trailer", trailer.0)], &["hello"])
    };
    rows.map(with).into()
}

//! Requests of HTTP/2 (RFC 9113, 8), and what becomes of them.

mod asked;
mod bodies;
mod heads;

pub(super) use asked::asked;
pub(super) use bodies::bodies;
pub(super) use heads::heads;

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

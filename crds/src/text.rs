//! The schemas of the strings and numbers that users write: how long, in what form, and what a user
//! is told who writes another.
//!
//! Each is no wider than the checked type of `lanyard_access` that the text becomes, so that what the
//! API server admits, the rest of Lanyard can read. `tests/validation.rs` holds them to that.

use lanyard_access::credential::STRUCTURAL_HEADERS;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::rule::rule;

/// A text of at least one character that keeps these rules.
pub(crate) fn text(longest: usize, rules: &[Value]) -> Schema {
    let mut schema = json_schema!({ "type": "string", "minLength": 1, "maxLength": longest });
    if !rules.is_empty() {
        schema.insert("x-kubernetes-validations".to_owned(), json!(rules));
    }
    schema
}

/// The name of an object: an RFC 1123 subdomain.
pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
        "is not the name of an object: use lower-case letters, digits, - and ., and start and end with a letter or digit",
    );
    text(253, &[form])
}

/// The name of a namespace, or of an entry in a list: an RFC 1123 label.
pub(crate) fn label_name(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "is not a name: use lower-case letters, digits and -, and start and end with a letter or digit",
    );
    text(63, &[form])
}

/// The form of a DNS name (RFC 1123, 2.1; no top label begins with
/// a digit, so that nothing which is not an address can be read as one).
pub(crate) const DNS_NAME: &str = "^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?[.])*[A-Za-z_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?[.]?$";

/// An exact DNS name.
pub(crate) fn dns_name(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        &format!("self.matches('{DNS_NAME}')"),
        "is not a DNS name: write the exact name, for example api.example.com; no address, scheme, port, path or wildcard",
    );
    text(253, &[form])
}

/// A port that can be granted.
pub(crate) fn port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": 65535,
        "x-kubernetes-validations": [rule(&format!("self != {DNS_PORT}"), IS_DNS_PORT)],
    })
}

/// The port of DNS (RFC 1035, 4.2).
pub(crate) const DNS_PORT: u16 = 53;
pub(crate) const IS_DNS_PORT: &str = "is the port of DNS, and within an agent's scope that is always Lanyard's own resolver: names are looked up without a grant, and nothing else is reached there";

/// The path of an executable as the kernel shows it.
pub(crate) fn executable_path(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^(/[^/]+)+$') && !self.matches('/[.][.]?(/|$)')",
        "is not the path that the kernel shows: begin with / and leave out ., .., // and a final / (realpath prints it)",
    );
    text(4095, &[form])
}

/// A SHA-256 digest.
pub(crate) fn sha256(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[0-9a-f]{64}$')",
        "is not a SHA-256 digest: 64 hexadecimal digits in lower case, as sha256sum prints them",
    );
    text(64, &[form])
}

/// How long a grant lives. Few enough digits that no sum is beyond what CEL's `duration` can hold.
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?([0-9]{1,11}ms)?$') && duration(self) >= duration('1s') && duration(self) <= duration('8784h')",
        "is not a duration from 1s to 8784h (366 days): write numbers with the units h, m, s, ms in this order, for example 30s, 10m or 1h30m",
    );
    text(32, &[form])
}

/// A timestamp (RFC 3339).
pub(crate) fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 64 })
}

pub(crate) const HAS_NO_CERTIFICATE: &str = "has no certificate: write PEM text, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----";
pub(crate) const HAS_PRIVATE_KEY: &str =
    "has a private key: write certificates only, and consider this key as known to others";

/// PEM certificates.
pub(crate) fn certificates(_: &mut SchemaGenerator) -> Schema {
    let certificates = rule(
        "self.contains('-----BEGIN CERTIFICATE-----') && self.contains('-----END CERTIFICATE-----')",
        HAS_NO_CERTIFICATE,
    );
    let no_key = rule("!self.contains('PRIVATE KEY-----')", HAS_PRIVATE_KEY);
    text(65_536, &[no_key, certificates])
}

/// A key within a secret, as Kubernetes allows it.
pub(crate) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[-._a-zA-Z0-9]+$')",
        "is not a key of a secret: use letters, digits, -, _ and .",
    );
    text(253, &[form])
}

/// A sentence for people.
pub(crate) fn sentence(_: &mut SchemaGenerator) -> Schema {
    text(1024, &[])
}

/// A short reference into another system.
pub(crate) fn reference(_: &mut SchemaGenerator) -> Schema {
    text(253, &[])
}

/// A set of values in no order, each at most once.
fn set(items: &Schema, fewest: usize, most: usize) -> Schema {
    json_schema!({
        "type": "array",
        "items": items,
        "minItems": fewest,
        "maxItems": most,
        "x-kubernetes-list-type": "set",
    })
}

/// From 1 to 64 exact DNS names.
pub(crate) fn dns_names(generator: &mut SchemaGenerator) -> Schema {
    set(&dns_name(generator), 1, 64)
}

/// The most requests that a grant can count.
pub(crate) const MOST_USES: u64 = 1_000_000_000;
/// The most bytes.
pub(crate) const MOST_BYTES: u64 = 1_000_000_000_000_000;

fn count(most: u64) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 1, "maximum": most })
}

/// How many requests.
pub(crate) fn uses(_: &mut SchemaGenerator) -> Schema {
    count(MOST_USES)
}

/// How many bytes.
pub(crate) fn bytes(_: &mut SchemaGenerator) -> Schema {
    count(MOST_BYTES)
}

/// At most 16 methods of requests.
pub(crate) fn methods(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[A-Z]([A-Z-]{0,30}[A-Z])?$')",
        "is not a method: write it in capital letters, for example GET or POST",
    );
    let carried = rule(
        "!(self in ['CONNECT', 'TRACE'])",
        "is carried under no grant: CONNECT opens a tunnel, TRACE shows what Lanyard puts in",
    );
    set(&text(32, &[form, carried]), 0, 16)
}

/// At most 256 names, each perhaps with `*` at its end.
pub(crate) fn name_patterns(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[A-Za-z0-9_.:/-]*[*]?$')",
        "is not a name: use letters, digits, -, _, ., : and /, and * only at the end",
    );
    set(&text(128, &[form]), 0, 256)
}

/// An expression of CEL. Whether it is one, no rule of an object can tell: whoever reads the object does.
pub(crate) fn expression(_: &mut SchemaGenerator) -> Schema {
    text(1024, &[])
}

pub(crate) const IS_NO_LINE: &str = "is more than one line: write it without line breaks and tabs";

/// One line for a person.
pub(crate) fn message(_: &mut SchemaGenerator) -> Schema {
    let line = rule(r"!self.matches('\\p{Cc}')", IS_NO_LINE);
    text(256, &[line])
}

/// A path with placeholders.
pub(crate) fn path_template(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        r"self.matches('^(/([^/{}*%?#\\\\\\p{Cc}]+|[*]|[{][A-Za-z_][A-Za-z0-9_]{0,62}[}]))*(/|/[*][*])?$') && !self.matches('/[.][.]?(;[^/]*)?(/|$)')",
        "is not a path template: begin with /; a part is plain text, written decoded, or * or {name} for one part, or at the end ** for the rest; leave out ., .., //, %, ? and #",
    );
    text(512, &[form])
}

/// The name of a header that can hold a credential.
pub(crate) fn header_name(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[A-Za-z0-9_-]+$')",
        "is not the name of a header: use letters, digits, _ and -",
    );
    let structural = format!(
        "!self.matches('(?i)^(sec-.*|{})$')",
        STRUCTURAL_HEADERS.join("|")
    );
    let free = rule(
        &structural,
        "says how a message is carried; a credential has no place in it",
    );
    text(64, &[form, free])
}

/// What stands before a secret in a header.
pub(crate) fn header_prefix(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[ -~]*$')",
        "has other than visible ASCII characters and spaces",
    );
    text(64, &[form])
}

/// The name of a query parameter.
pub(crate) fn query_parameter(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[A-Za-z0-9._~-]+$')",
        "is not the name of a query parameter: use letters, digits, -, _, . and ~",
    );
    text(64, &[form])
}

/// The user name of HTTP Basic (RFC 7617, 2: no colon).
pub(crate) fn basic_username(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[ -9;-~]+$')",
        "is not a user name for Basic: use visible ASCII characters and spaces, no colon",
    );
    text(255, &[form])
}

/// From 1 to 64 namespaces.
pub(crate) fn namespaces(generator: &mut SchemaGenerator) -> Schema {
    set(&label_name(generator), 1, 64)
}

/// From 1 to 64 names of objects.
pub(crate) fn object_names(generator: &mut SchemaGenerator) -> Schema {
    set(&object_name(generator), 1, 64)
}

/// At most 256 names of users or groups of a machine.
pub(crate) fn account_names(_: &mut SchemaGenerator) -> Schema {
    let form = rule(
        "self.matches('^[A-Za-z_][A-Za-z0-9_.@-]*[$]?$')",
        "is not the name of a user or group: use letters, digits, -, _, . and @, and begin with a letter",
    );
    set(&text(256, &[form]), 0, 256)
}

/// A program and what it is called with.
pub(crate) fn command(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "string", "maxLength": 4095 },
        "minItems": 1,
        "maxItems": 64,
        "x-kubernetes-list-type": "atomic",
    })
}

/// At most 256 paths of a machine.
pub(crate) fn paths(_: &mut SchemaGenerator) -> Schema {
    set(&text(4095, &[]), 0, 256)
}

//! Rows of credential sources.

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use super::{
    BAD_LABEL, BAD_OBJECT_NAME, Case,
    Verdict::{Accepted, Refused},
    create,
};

pub(super) fn rows() -> Vec<Case> {
    let kind = Kind::CredentialSource;
    let row = |pointer: &str, value: Value, verdict| create(kind, &[(pointer, value)], verdict);
    let bad_host = Refused(
        "spec.allowedHosts[0]",
        "is not a DNS name: write the exact name, for example api.example.com; no address, scheme, port, path or wildcard",
    );
    let mut rows = ways(kind);
    rows.extend(pairs(kind));
    rows.extend(vec![
        create(kind, &[], Accepted),
        row(
            "/secretKey",
            Value::Null,
            Refused(
                "spec.secretKey",
                "must be set with the type SecretKey, and only then",
            ),
        ),
        row(
            "/secretKey/name",
            json!("API"),
            Refused("spec.secretKey.name", BAD_OBJECT_NAME),
        ),
        row(
            "/secretKey/key",
            json!("a/b"),
            Refused(
                "spec.secretKey.key",
                "is not a key of a secret: use letters, digits, -, _ and .",
            ),
        ),
        row("/allowedHosts/0", json!("*.example.com"), bad_host),
        row("/allowedHosts/0", json!("10.1.2.3"), bad_host),
        row(
            "/allowedConsumers",
            json!({ "namespaces": ["two"], "identities": ["agent"] }),
            Accepted,
        ),
        row(
            "/allowedConsumers",
            json!({ "namespaces": ["T"] }),
            Refused("spec.allowedConsumers.namespaces[0]", BAD_LABEL),
        ),
        row(
            "/allowedConsumers",
            json!({ "identities": ["A"] }),
            Refused("spec.allowedConsumers.identities[0]", BAD_OBJECT_NAME),
        ),
    ]);
    rows
}

/// How a credential is put in.
fn ways(kind: Kind) -> Vec<Case> {
    let way = |injection: Value, verdict| create(kind, &[("/injection", injection)], verdict);
    let header = |name: &str, verdict| {
        way(
            json!({ "type": "Header", "header": { "name": name } }),
            verdict,
        )
    };
    let parameter = |name: &str, verdict| {
        way(
            json!({ "type": "Query", "query": { "parameter": name } }),
            verdict,
        )
    };
    let user = |name: &str, verdict| {
        way(
            json!({ "type": "Basic", "basic": { "username": name } }),
            verdict,
        )
    };
    let with_prefix =
        json!({ "type": "Header", "header": { "name": "Authorization", "prefix": "Token " } });
    let structural = Refused(
        "spec.injection.header.name",
        "says how a message is carried; a credential has no place in it",
    );
    vec![
        header("X-Api-Key", Accepted),
        way(with_prefix, Accepted),
        header(
            "x key",
            Refused(
                "spec.injection.header.name",
                "is not the name of a header: use letters, digits, _ and -",
            ),
        ),
        header("Host", structural),
        header("Sec-WebSocket-Key", structural),
        way(
            json!({ "type": "Header" }),
            Refused(
                "spec.injection.header",
                "must be set with the type Header, and only then",
            ),
        ),
        parameter("api_key", Accepted),
        parameter(
            "a=b",
            Refused(
                "spec.injection.query.parameter",
                "is not the name of a query parameter: use letters, digits, -, _, . and ~",
            ),
        ),
        way(
            json!({ "type": "Bearer", "query": { "parameter": "key" } }),
            Refused(
                "spec.injection.query",
                "must be set with the type Query, and only then",
            ),
        ),
        user("x-access-token", Accepted),
        user(
            "a:b",
            Refused(
                "spec.injection.basic.username",
                "is not a user name for Basic: use visible ASCII characters and spaces, no colon",
            ),
        ),
        way(
            json!({ "type": "Basic" }),
            Refused(
                "spec.injection.basic",
                "must be set: the source has a password alone, and Basic needs a user name",
            ),
        ),
        way(
            json!({ "type": "Bearer", "basic": { "username": "a" } }),
            Refused("spec.injection.basic", "is only for the type Basic"),
        ),
        way(
            json!({ "type": "Header", "header": { "name": "X-Key", "prefix": "a\n" } }),
            Refused(
                "spec.injection.header.prefix",
                "has other than visible ASCII characters and spaces",
            ),
        ),
    ]
}

/// Which source goes with which way.
fn pairs(kind: Kind) -> Vec<Case> {
    let pair = |injection: Value, verdict| {
        let changes = [
            ("/type", json!("Basic")),
            ("/secretKey", Value::Null),
            ("/basic", json!({ "name": "login" })),
            ("/injection", injection),
        ];
        create(kind, &changes, verdict)
    };
    vec![
        pair(json!({ "type": "Basic" }), Accepted),
        create(
            kind,
            &[
                ("/type", json!("Basic")),
                ("/secretKey", Value::Null),
                ("/basic", json!({ "name": "A" })),
                ("/injection", json!({ "type": "Basic" })),
            ],
            Refused("spec.basic.name", BAD_OBJECT_NAME),
        ),
        pair(
            json!({ "type": "Bearer" }),
            Refused(
                "spec.injection.type",
                "must be Basic: the source is a user name and a password, which go into no other place",
            ),
        ),
        pair(
            json!({ "type": "Basic", "basic": { "username": "a" } }),
            Refused(
                "spec.injection.basic",
                "must not be set: the source has a user name of its own",
            ),
        ),
        create(
            kind,
            &[("/basic", json!({ "name": "login" }))],
            Refused(
                "spec.basic",
                "must be set with the type Basic, and only then",
            ),
        ),
    ]
}

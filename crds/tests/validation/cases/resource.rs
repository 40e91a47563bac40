//! Rows of what grants open, and to whom.

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use super::{
    BAD_LABEL, BAD_OBJECT_NAME, Case,
    Verdict::{self, Accepted, Refused},
    create,
};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

const BAD_HOST: Verdict = Refused(
    "spec.resource.host",
    "is not a host: write one DNS name, for example api.example.com, one IP address, or a network, for example 10.1.0.0/16; no scheme, port, path or wildcard",
);
const NEEDS_NAME: Verdict = Refused(
    "spec.resource.host",
    "is an address or a network, and HTTPS, HTTP and MCP need a name, which each request is held to: write the DNS name, or the protocol TCP",
);
const NEEDS_ADDRESS: Verdict = Refused(
    "spec.resource.host",
    "is a name, and UDP needs an address or a network, since the kernel looks up no names: write the IP address",
);
const NO_CERTIFICATES: Verdict = Refused(
    "spec.resource.caBundle",
    "is only for the protocols HTTPS and MCP, and not with `tls: Passthrough`: Lanyard verifies no certificate in other connections",
);
const NO_CREDENTIAL: Verdict = Refused(
    "spec.credentialRef",
    "is only for the protocols HTTPS and MCP, and not with `tls: Passthrough`: a credential is put into requests that Lanyard sees, and never sent in the clear",
);
const HAS_NO_CERTIFICATE: Verdict = Refused(
    "spec.resource.caBundle",
    "has no certificate: write PEM text, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
);
const HAS_PRIVATE_KEY: Verdict = Refused(
    "spec.resource.caBundle",
    "has a private key: write certificates only, and consider this key as known to others",
);

pub(super) fn rows() -> Vec<Case> {
    let mut rows = https();
    rows.extend(direct());
    rows.extend(requests());
    rows.extend(conditions());
    rows.extend(encrypted());
    rows.extend(evidence());
    rows.extend(references());
    rows
}

fn row(pointer: &str, value: Value, verdict: Verdict) -> Case {
    create(Kind::AccessGrant, &[(pointer, value)], verdict)
}

fn https() -> Vec<Case> {
    let host = |host: &str, verdict| row("/resource/host", json!(host), verdict);
    let bundle = |text: &str, verdict| row("/resource/caBundle", json!(text), verdict);
    let with_key = format!("{PEM}-----BEGIN RSA PRIVATE KEY-----\n");
    vec![
        create(Kind::AccessGrant, &[], Accepted),
        host("API.Example.com.", Accepted),
        host("*.example.com", BAD_HOST),
        host("https://example.com", BAD_HOST),
        host("example.com:443", BAD_HOST),
        host("256.1.1.1", BAD_HOST),
        host("-a.example.com", BAD_HOST),
        host("10.1.2.3", NEEDS_NAME),
        host("10.1.0.0/16", NEEDS_NAME),
        host("::ffff:0:0/96", BAD_HOST),
        bundle(PEM, Accepted),
        bundle("/etc/ssl/ca.pem", HAS_NO_CERTIFICATE),
        bundle(&with_key, HAS_PRIVATE_KEY),
    ]
}

fn direct() -> Vec<Case> {
    let row = |protocol: &str, host: &str, more: &[(&str, Value)], verdict| {
        let mut changes = vec![
            ("/resource/protocol", json!(protocol)),
            ("/resource/host", json!(host)),
        ];
        changes.extend(more.iter().cloned());
        create(Kind::AccessGrant, &changes, verdict)
    };
    let bundle = ("/resource/caBundle", json!(PEM));
    let credential = ("/credentialRef", json!({ "name": "one" }));
    let rows = ["TCP", "UDP"].map(|protocol| {
        let row = |host: &str, more: &[(&str, Value)], verdict| row(protocol, host, more, verdict);
        [
            row("10.1.2.3", &[], Accepted),
            row("2001:db8::1", &[], Accepted),
            row("10.1.0.0/16", &[], Accepted),
            row("10.0.0.0/08", &[], BAD_HOST),
            row("3.0.63.00/27", &[], BAD_HOST),
            row("010.0.0.0/8", &[], BAD_HOST),
            row(
                "api.example.com",
                &[],
                if protocol == "TCP" {
                    Accepted
                } else {
                    NEEDS_ADDRESS
                },
            ),
            row("10.1.2.3", std::slice::from_ref(&bundle), NO_CERTIFICATES),
            row("10.1.2.3", std::slice::from_ref(&credential), NO_CREDENTIAL),
        ]
    });
    rows.into_iter().flatten().collect()
}

fn requests() -> Vec<Case> {
    let rules = |rules: Value, verdict| row("/resource/http", rules, verdict);
    let path = |path: &str, verdict| rules(json!([{ "path": path }]), verdict);
    let method = |method: &str, verdict| rules(json!([{ "methods": [method] }]), verdict);
    let bad_path = Refused(
        "spec.resource.http[0].path",
        "is not a path template: begin with /; a part is plain text, written decoded, or * or {name} for one part, or at the end ** for the rest; leave out ., .., //, %, ? and #",
    );
    let bad_method = Refused(
        "spec.resource.http[0].methods[0]",
        "is not a method: write it in capital letters, for example GET or POST",
    );
    let never = Refused(
        "spec.resource.http[0].methods[0]",
        "is carried under no grant: CONNECT opens a tunnel, TRACE shows what Lanyard puts in",
    );
    let mut rows = vec![
        rules(json!([]), Accepted),
        rules(json!([{}]), Accepted),
        rules(
            json!([{ "methods": ["GET", "M-SEARCH"], "path": "/a/{b}/*/**" }]),
            Accepted,
        ),
        method("get", bad_method),
        method("CONNECT", never),
        method("TRACE", never),
    ];
    for good in ["/", "/**", "/a b/ü;x", "/a/", "/{a}/{a}"] {
        rows.push(path(good, Accepted));
    }
    for bad in [
        "a", "/a//b", "/a/../b", "/./a", "/..;x/a", "/a%20b", "/a?b", "/a#b", "/a/**/b", "/a*",
        "/{1}", "/{a", "/a\\b", "/a\u{0}b",
    ] {
        rows.push(path(bad, bad_path));
    }
    rows
}

const NO_COUNTING: &str = "is only for the protocols HTTPS, HTTP and MCP, and not with `tls: Passthrough`: Lanyard counts what it sees";
const BAD_PATTERN: &str =
    "is not a name: use letters, digits, -, _, ., : and /, and * only at the end";

/// Fields that go with HTTPS, or with TLS that is ended.
fn conditions() -> Vec<Case> {
    let of_requests = "is only for the protocols HTTPS, HTTP and MCP, and not with `tls: Passthrough`: Lanyard sees no requests in other connections";
    let one = (
        "/resource/conditions",
        json!([{ "expression": "request.query == ''" }]),
    );
    let message = |text: &str, verdict| {
        let condition = json!([{ "expression": "request.query == ''", "message": text }]);
        row("/resource/conditions", condition, verdict)
    };
    let tcp = ("/resource/protocol", json!("TCP"));
    let mcp = ("/resource/protocol", json!("MCP"));
    vec![
        create(Kind::AccessGrant, std::slice::from_ref(&one), Accepted),
        create(Kind::AccessGrant, &[mcp, one.clone()], Accepted),
        create(
            Kind::AccessGrant,
            &[tcp, one],
            Refused("spec.resource.conditions", of_requests),
        ),
        message("only the red team", Accepted),
        message(
            "two\nlines",
            Refused(
                "spec.resource.conditions[0].message",
                "is more than one line: write it without line breaks and tabs",
            ),
        ),
    ]
}

fn encrypted() -> Vec<Case> {
    const KIND: Kind = Kind::AccessGrant;
    let passthrough = ("/resource/tls", json!("Passthrough"));
    let http = ("/resource/protocol", json!("HTTP"));
    let tcp = ("/resource/protocol", json!("TCP"));
    let rule = ("/resource/http", json!([{ "methods": ["GET"] }]));
    let bundle = ("/resource/caBundle", json!(PEM));
    let credential = ("/credentialRef", json!({ "name": "one" }));
    let address = ("/resource/host", json!("10.1.2.3"));
    let rules_of_http = Refused(
        "spec.resource.http",
        "is only for the protocols HTTPS, HTTP and MCP, and not with `tls: Passthrough`: Lanyard sees no requests in other connections",
    );
    let tls_of_https = Refused("spec.resource.tls", "is only for the protocol HTTPS");
    let row = |changes: &[&(&'static str, Value)], verdict| {
        let changes: Vec<_> = changes.iter().map(|change| (*change).clone()).collect();
        create(KIND, &changes, verdict)
    };
    let terminate = ("/resource/tls", json!("Terminate"));
    let uses = ("/maxUses", json!(3));
    let mcp = ("/resource/protocol", json!("MCP"));
    let messages = (
        "/resource/mcp",
        json!({ "methods": ["resources/*"], "tools": ["get_*", "a.b:c"] }),
    );
    let bytes = ("/maxBytes", json!(1_000_000));
    vec![
        row(&[&terminate, &rule, &bundle, &credential], Accepted),
        row(&[&passthrough], Accepted),
        row(&[&passthrough, &rule], rules_of_http),
        row(&[&passthrough, &bundle], NO_CERTIFICATES),
        row(&[&passthrough, &credential], NO_CREDENTIAL),
        row(&[&http, &rule], Accepted),
        row(&[&http, &passthrough], tls_of_https),
        row(&[&http, &bundle], NO_CERTIFICATES),
        row(&[&http, &credential], NO_CREDENTIAL),
        row(&[&http, &address], NEEDS_NAME),
        row(&[&terminate, &uses, &bytes], Accepted),
        row(&[&http, &uses, &bytes], Accepted),
        row(&[&passthrough, &uses], Refused("spec.maxUses", NO_COUNTING)),
        row(&[&tcp, &bytes], Refused("spec.maxBytes", NO_COUNTING)),
        row(&[&tcp, &rule], rules_of_http),
        row(&[&tcp, &terminate], tls_of_https),
        row(&[&mcp, &rule, &bundle, &credential, &uses], Accepted),
        row(&[&mcp, &messages], Accepted),
        row(&[&mcp, &address], NEEDS_NAME),
        row(&[&mcp, &terminate], tls_of_https),
        row(
            &[&messages],
            Refused("spec.resource.mcp", "is only for the protocol MCP"),
        ),
        row(
            &[&mcp, &("/resource/mcp", json!({ "tools": ["a*b"] }))],
            Refused("spec.resource.mcp.tools[0]", BAD_PATTERN),
        ),
        row(
            &[&mcp, &("/resource/mcp", json!({ "methods": ["a b"] }))],
            Refused("spec.resource.mcp.methods[0]", BAD_PATTERN),
        ),
    ]
}

fn evidence() -> Vec<Case> {
    let levels = ["Image", "Lineage", "Scope"];
    levels
        .map(|level| row("/requires", json!(level), Accepted))
        .into()
}

fn references() -> Vec<Case> {
    let bad_identity = Refused("spec.identityRef.name", BAD_OBJECT_NAME);
    let bad_credential = Refused("spec.credentialRef.name", BAD_OBJECT_NAME);
    let bad_namespace = Refused("spec.credentialRef.namespace", BAD_LABEL);
    let credential = |name: &str, namespace: &str, verdict| {
        let reference = json!({ "name": name, "namespace": namespace });
        row("/credentialRef", reference, verdict)
    };
    vec![
        row("/identityRef/name", json!("Agent"), bad_identity),
        credential("one", "two", Accepted),
        credential("One", "two", bad_credential),
        credential("one", "t.w", bad_namespace),
    ]
}

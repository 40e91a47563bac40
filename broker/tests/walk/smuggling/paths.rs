//! Paths under a rule for `/orders/**`: another spelling is no way out of it.

use super::{Case, carried, refused};

pub(super) fn cases() -> Vec<Case> {
    let of = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {{h}}\r\n\r\n").into_bytes();
    let mut cases = vec![
        carried("a path of the rule", &["GET /orders/7"], of("/orders/7")),
        carried(
            "a letter that is encoded",
            &["GET /%6frders/7"],
            of("/%6frders/7"),
        ),
        carried(
            "a query with dots",
            &["GET /orders/7?x=/../admin"],
            of("/orders/7?x=/../admin"),
        ),
        carried(
            "a fragment with dots",
            &["GET /orders/7"],
            of("/orders/7#/../../admin"),
        ),
        carried(
            "a URL in full",
            &["GET /orders/7"],
            of("https://{h}/orders/7"),
        ),
    ];
    for (name, target) in [
        ("another path", "/admin"),
        ("the path in capitals", "/ORDERS/7"),
        ("dots", "/orders/../admin"),
        ("one dot", "/./orders/7"),
        ("dots at the end", "/orders/.."),
        ("encoded dots", "/orders/%2e%2e/admin"),
        ("encoded dots in capitals", "/orders/%2E%2E/admin"),
        ("half encoded dots", "/orders/.%2e/admin"),
        ("an encoded slash", "/orders/..%2fadmin"),
        ("an encoded slash alone", "/orders%2f7"),
        ("a backslash", "/orders/..\\admin"),
        ("an encoded backslash", "/orders/%5c..%5cadmin"),
        ("twice encoded dots", "/orders/%252e%252e/admin"),
        ("twice encoded slash", "/orders/..%252fadmin"),
        ("dots with a parameter", "/orders/..;a=b/admin"),
        ("an empty part", "/orders//admin"),
        ("an empty part before", "//orders/7"),
        ("an encoded NUL", "/orders/7%00/../admin"),
        ("an encoded NUL alone", "/orders/%00"),
        ("an encoded line", "/orders/%0d%0aHost:%20other.example"),
        ("an escape that is none", "/orders/%zz"),
        ("half an escape", "/orders/%2"),
        ("an escape at the end", "/orders/%"),
        ("dots in too many bytes", "/orders/%c0%ae%c0%ae/admin"),
        ("a slash in too many bytes", "/orders/..%c0%afadmin"),
        ("an escape of another system", "/orders/%u002e%u002e/admin"),
        ("bytes that are no text", "/orders/%ff"),
        ("a URL in full with dots", "https://{h}/orders/../admin"),
    ] {
        cases.push(refused(name, &[403, 200], of(target)));
    }
    cases
}

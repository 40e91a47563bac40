//! One HTTP request, and the rules of a grant that are about requests.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    mcp::McpMessage,
    method::Method,
    path::{AmbiguousPath, PathTemplate, RequestPath},
    reason::RefusalReason,
};

/// What of a request the rules are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest<'a> {
    /// Whether the client speaks TLS. A client that does is never led to a service without it.
    pub is_encrypted: bool,
    /// The method.
    pub method: &'a str,
    /// The path, without the query; an error when it can be read in more than one way.
    pub path: Result<RequestPath, AmbiguousPath>,
    /// The query, without the `?`; empty when there is none.
    pub query: &'a str,
    /// Names and values of its headers; nothing when they are not known, or are no text.
    pub headers: Option<&'a [(&'a str, &'a str)]>,
    /// What its body says in the Model Context Protocol.
    pub mcp: Mcp<'a>,
}

/// What is known of a body in the Model Context Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mcp<'a> {
    /// It is not read, or not yet: nothing is said of messages.
    Unread,
    /// It has none: the request opens the server's stream, or ends a session.
    NoMessage,
    /// It is this message.
    Message(&'a McpMessage),
    /// It is not understood.
    NotUnderstood,
}

/// One rule of a grant: requests with one of these methods for one of these paths.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HttpRule {
    /// The methods; every method when there are none.
    pub methods: BTreeSet<Method>,
    /// The paths; every path when there is none.
    pub path: Option<PathTemplate>,
}

impl HttpRule {
    fn refusal_of(&self, request: &HttpRequest<'_>) -> Option<RefusalReason> {
        if let Some(template) = &self.path {
            match &request.path {
                Ok(path) if template.matches(path) => {}
                Ok(_) => return Some(RefusalReason::PathNotGranted),
                Err(_) => return Some(RefusalReason::PathNotUnderstood),
            }
        }
        let allows = |method: &Method| method.allows(request.method);
        let is_allowed = self.methods.is_empty() || self.methods.iter().any(allows);
        (!is_allowed).then_some(RefusalReason::MethodNotGranted)
    }
}

/// Why `rules` allow a request nothing; `None` when one of them allows it, or when there are none.
pub(crate) fn refusal_of(rules: &[HttpRule], request: &HttpRequest<'_>) -> Option<RefusalReason> {
    let mut nearest: Option<RefusalReason> = None;
    for rule in rules {
        let reason = rule.refusal_of(request)?;
        // A rule for the path that lacks the method stands nearer than one for another path.
        if nearest != Some(RefusalReason::MethodNotGranted) {
            nearest = Some(reason);
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(methods: &[&str], path: Option<&str>) -> HttpRule {
        HttpRule {
            methods: methods.iter().map(|text| text.parse().unwrap()).collect(),
            path: path.map(|text| text.parse().unwrap()),
        }
    }

    fn refused(rules: &[HttpRule], method: &str, path: &str) -> Option<RefusalReason> {
        let request = HttpRequest {
            is_encrypted: true,
            method,
            path: RequestPath::parse(path),
            query: "",
            headers: None,
            mcp: Mcp::Unread,
        };
        refusal_of(rules, &request)
    }

    #[test]
    fn one_rule_that_allows_is_enough_and_the_nearest_refusal_is_told() {
        use RefusalReason as R;
        let rules = [
            rule(&["GET"], Some("/orders/**")),
            rule(&["POST"], Some("/orders/new")),
            rule(&["OPTIONS"], None),
        ];
        for (method, path) in [
            ("GET", "/orders/"),
            ("HEAD", "/orders/1"),
            ("POST", "/orders/new"),
            ("OPTIONS", "/x/../y"),
        ] {
            assert_eq!(refused(&rules, method, path), None, "{method} {path}");
        }
        for (method, path, reason) in [
            ("POST", "/orders/1", R::MethodNotGranted),
            ("GET", "/users", R::MethodNotGranted),
            ("GET", "/orders/../users", R::MethodNotGranted),
        ] {
            assert_eq!(refused(&rules, method, path), Some(reason), "{path}");
        }
        let rules = &rules[..2];
        assert_eq!(refused(rules, "GET", "/users"), Some(R::PathNotGranted));
        let hidden = refused(rules, "GET", "/orders/%2e%2e/users");
        assert_eq!(hidden, Some(R::PathNotUnderstood));
        let other = refused(rules, "DELETE", "/orders/new");
        assert_eq!(other, Some(R::MethodNotGranted));
    }

    #[test]
    fn without_rules_every_request_is_allowed() {
        assert_eq!(refused(&[], "PATCH", "/a/../b"), None);
    }
}

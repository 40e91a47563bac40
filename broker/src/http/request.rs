//! Which requests are understood at all, before any grant is looked at.

use http::{
    HeaderValue, Method, StatusCode, Uri, Version,
    header::{CONNECTION, HOST},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use lanyard_access::{
    host::{DnsName, Host},
    port::Port,
};
use lanyard_protocol::record::Request;
use thiserror::Error;

use super::headers::{WEBSOCKET, has_other_coding, is_websocket};
use crate::limits;

/// A request that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// What records say of it.
    pub record: Request,
    /// Its target in origin form (RFC 9112, 3.2.1), or `*`.
    pub uri: Uri,
    /// The protocol it asks to go on with, if the connection can change to one.
    pub upgrade: Option<HeaderValue>,
}

/// Why a request is not understood, or not carried.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum RequestError {
    /// A method that opens a tunnel or shows what was sent.
    #[error("the method {0} is not carried")]
    Method(Method),
    /// More headers than are read.
    #[error("the request has more than {} headers", limits::HEADERS)]
    Headers,
    /// A coding other than `chunked`.
    #[error("a transfer coding other than `chunked` is not carried")]
    TransferCoding,
    /// No `Host`, or more than one (RFC 9112, 3.2).
    #[error("the request has not exactly one Host")]
    HostCount,
    /// The host is none.
    #[error("the Host of the request is not a host")]
    HostSyntax,
    /// The request is for another host than the one whose address the client connected to.
    #[error("this connection is for `{connected}` alone")]
    OtherHost {
        /// The host the client connected to.
        connected: DnsName,
        /// The host it names in the request.
        asked: Host,
    },
    /// Another port than the one connected to.
    #[error("this connection is for port {0} alone")]
    OtherPort(u16),
    /// The target is neither a path, nor a URL of that host, nor `*`.
    #[error("the target of the request is not carried")]
    Target,
    /// A change of protocol under a grant for MCP: what follows could not be read.
    #[error("no WebSocket is carried for MCP, whose messages are read one by one")]
    Upgrade,
}

impl RequestError {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Headers => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::HostCount | Self::HostSyntax | Self::Target => StatusCode::BAD_REQUEST,
            Self::Upgrade => StatusCode::FORBIDDEN,
            Self::OtherHost { .. } | Self::OtherPort(_) => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

/// Checks the head of a request that came over a connection to `name` and `port`, encrypted or not.
pub(super) fn check(
    head: &Parts,
    name: &DnsName,
    port: Port,
    is_encrypted: bool,
) -> Result<Target, RequestError> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(RequestError::Method(head.method.clone()));
    }
    if head.headers.len() > limits::HEADERS {
        return Err(RequestError::Headers);
    }
    if has_other_coding(&head.headers) {
        return Err(RequestError::TransferCoding);
    }
    check_host(head, name, port)?;
    if let Some(authority) = head.uri.authority() {
        // A URL in full stands above Host (RFC 9112, 3.2.2): both have to name this host.
        check_authority(authority, name, port)?;
        let scheme = if is_encrypted {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        };
        if head.uri.scheme() != Some(&scheme) {
            return Err(RequestError::Target);
        }
    }
    let target = head.uri.path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let is_all = target == "*" && head.method == Method::OPTIONS;
    if !is_all && !target.as_str().starts_with('/') {
        return Err(RequestError::Target);
    }
    Ok(Target {
        record: Request {
            method: head.method.to_string(),
            host: Host::Name(name.clone()),
            port: port.get(),
            path: target.path().to_owned(),
            mcp: None,
        },
        uri: Uri::from(target),
        upgrade: upgrade(head),
    })
}

/// What a client of HTTP/1.1 asks its connection to change to (RFC 9110, 7.8). What may follow a change is read
/// by no rule: a WebSocket belongs to the request that opened it, any other protocol, HTTP/2 above all, would lead
/// past the rules. Whoever asks for one may be left on what it speaks (RFC 9110, 7.8).
fn upgrade(head: &Parts) -> Option<HeaderValue> {
    let asks = |value: &HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value
            .split(',')
            .any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
    };
    let is_asked =
        head.version == Version::HTTP_11 && head.headers.get_all(CONNECTION).iter().any(asks);
    (is_asked && is_websocket(&head.headers)).then_some(WEBSOCKET)
}

fn check_host(head: &Parts, name: &DnsName, port: Port) -> Result<(), RequestError> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        // HTTP/1.0 has no Host; the connection says which host is meant.
        (None, _) if head.version == Version::HTTP_10 => return Ok(()),
        // HTTP/2 has it in the target (RFC 9113, 8.3.1).
        (None, _) if head.version == Version::HTTP_2 && head.uri.authority().is_some() => {
            return Ok(());
        }
        (None, _) | (Some(_), Some(_)) => return Err(RequestError::HostCount),
    };
    check_authority(&parse_authority(host)?, name, port)
}

fn parse_authority(host: &HeaderValue) -> Result<Authority, RequestError> {
    Authority::try_from(host.as_bytes()).map_err(|_| RequestError::HostSyntax)
}

fn check_authority(authority: &Authority, name: &DnsName, port: Port) -> Result<(), RequestError> {
    if authority.as_str().contains('@') {
        return Err(RequestError::HostSyntax);
    }
    let host = authority.host();
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let asked: Host = host.parse().map_err(|_| RequestError::HostSyntax)?;
    if asked != Host::Name(name.clone()) {
        return Err(RequestError::OtherHost {
            connected: name.clone(),
            asked,
        });
    }
    // `name:` without digits is the default port (RFC 3986, 6.2.3), which says nothing here.
    match (authority.port(), authority.port_u16()) {
        (None, _) => Ok(()),
        (Some(_), Some(asked)) if asked == port.get() => Ok(()),
        (Some(_), _) => Err(RequestError::OtherPort(port.get())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Target, RequestError> {
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        check(
            &head,
            &"api.example.com".parse().unwrap(),
            Port::new(443).unwrap(),
            true,
        )
    }

    const HOST: (&str, &str) = ("host", "api.example.com");

    #[test]
    fn requests_for_another_host_are_misdirected() {
        for host in [
            "other.example.com",
            "example.com",
            "api.example.com.evil.example",
            "127.0.0.1",
            "[::1]",
            "api.example.com:444",
            "api.example.com:0",
        ] {
            let error = checked("GET", "/", &[("host", host)]).unwrap_err();
            assert_eq!(error.status(), StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
        let error = checked("GET", "https://other.example.com/", &[HOST]).unwrap_err();
        assert_eq!(error.status(), StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn requests_that_are_not_understood_are_refused() {
        let bad = StatusCode::BAD_REQUEST;
        for (method, target, headers, status) in [
            (
                "CONNECT",
                "a.example:1",
                vec![HOST],
                StatusCode::METHOD_NOT_ALLOWED,
            ),
            ("TRACE", "/", vec![HOST], StatusCode::METHOD_NOT_ALLOWED),
            (
                "POST",
                "/",
                vec![HOST, ("transfer-encoding", "gzip, chunked")],
                StatusCode::NOT_IMPLEMENTED,
            ),
            (
                "POST",
                "/",
                vec![
                    HOST,
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                StatusCode::NOT_IMPLEMENTED,
            ),
            ("GET", "/", vec![], bad),
            ("GET", "/", vec![HOST, HOST], bad),
            ("GET", "/", vec![("host", "")], bad),
            ("GET", "/", vec![("host", "user@api.example.com")], bad),
            ("GET", "/", vec![("host", "a b")], bad),
            ("GET", "http://api.example.com/", vec![HOST], bad),
            ("GET", "*", vec![HOST], bad),
        ] {
            let error = checked(method, target, &headers).unwrap_err();
            assert_eq!(error.status(), status, "{method} {target} {headers:?}");
        }
    }

    #[test]
    fn requests_for_the_host_are_understood() {
        for (target, host, uri) in [
            ("/a?q=1", "api.example.com", "/a?q=1"),
            ("/a", "API.Example.Com:443", "/a"),
            ("/a", "api.example.com.", "/a"),
            ("https://api.example.com/a?q", "api.example.com", "/a?q"),
            ("https://api.example.com", "api.example.com", "/"),
        ] {
            let target = checked("GET", target, &[("host", host)]).unwrap();
            assert_eq!(target.uri, uri);
            assert!(!target.record.path.contains('?'));
        }
        assert!(checked("OPTIONS", "*", &[HOST]).is_ok());
        assert!(checked("POST", "/", &[HOST, ("transfer-encoding", "Chunked")]).is_ok());
    }

    #[test]
    fn a_change_of_protocol_is_seen_where_it_is_asked_for() {
        let upgrade = |headers: &[(&str, &str)]| {
            let headers = [&[HOST], headers].concat();
            checked("GET", "/", &headers).unwrap().upgrade
        };
        let asked = upgrade(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
        ]);
        assert_eq!(asked.unwrap(), "websocket");
        assert_eq!(upgrade(&[("upgrade", "websocket")]), None);
        let with = |protocol| upgrade(&[("connection", "upgrade"), ("upgrade", protocol)]);
        assert_eq!(with("WebSocket").unwrap(), "websocket");
        for other in [
            "h2c",
            "H2C",
            "x, h2c",
            "websocket, h2c",
            "h2c, websocket",
            "websocket/13",
            "TLS/1.0",
            "",
        ] {
            assert_eq!(with(other), None, "{other}");
        }
        let two = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("upgrade", "h2c"),
        ];
        assert_eq!(upgrade(&two), None);
    }

    #[test]
    fn a_scheme_is_that_of_the_connection() {
        let request = |target: &str, is_encrypted| {
            let request = http::Request::builder().uri(target).header("host", HOST.1);
            let head = request.body(()).unwrap().into_parts().0;
            let name = HOST.1.parse().unwrap();
            check(&head, &name, Port::new(443).unwrap(), is_encrypted).is_ok()
        };
        for is_encrypted in [true, false] {
            assert_eq!(
                request("https://api.example.com/", is_encrypted),
                is_encrypted
            );
            assert_eq!(
                request("http://api.example.com/", is_encrypted),
                !is_encrypted
            );
        }
    }

    #[test]
    fn in_http2_the_target_names_the_host() {
        let head = |target: &str, host: Option<&str>| {
            let mut request = http::Request::builder()
                .version(Version::HTTP_2)
                .uri(target);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let head = request.body(()).unwrap().into_parts().0;
            let name = HOST.1.parse().unwrap();
            check(&head, &name, Port::new(443).unwrap(), true)
        };
        assert!(head("https://api.example.com/a", None).is_ok());
        assert!(head("https://api.example.com/a", Some("api.example.com")).is_ok());
        for (target, host) in [
            ("https://other.example.com/a", None),
            ("https://api.example.com/a", Some("other.example.com")),
            ("https://api.example.com:444/a", None),
        ] {
            let error = head(target, host).unwrap_err();
            assert_eq!(error.status(), StatusCode::MISDIRECTED_REQUEST, "{target}");
        }
        assert_eq!(head("/a", None), Err(RequestError::HostCount));
    }

    #[test]
    fn headers_are_bounded() {
        let many: Vec<(String, String)> = (0..limits::HEADERS)
            .map(|number| (format!("x-{number}"), "1".to_owned()))
            .collect();
        let mut headers = vec![HOST];
        headers.extend(
            many.iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let error = checked("GET", "/", &headers).unwrap_err();
        assert_eq!(error, RequestError::Headers);
    }
}

//! Which requests are understood at all, before any grant is looked at.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Uri, Version,
    header::{HOST, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use lanyard_access::{
    host::{DnsName, Host},
    port::Port,
};
use lanyard_protocol::record::Request;
use thiserror::Error;

/// A request that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// What records say of it.
    pub record: Request,
    /// Its target in origin form (RFC 9112, 3.2.1), or `*`.
    pub uri: Uri,
}

/// Why a request is not understood, or not carried.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum RequestError {
    /// A method that opens a tunnel or shows what was sent.
    #[error("the method {0} is not carried")]
    Method(Method),
    /// The client asks for another protocol.
    #[error("upgrades to another protocol are not carried")]
    Upgrade,
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
}

impl RequestError {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::HostCount | Self::HostSyntax | Self::Target => StatusCode::BAD_REQUEST,
            Self::OtherHost { .. } | Self::OtherPort(_) => StatusCode::MISDIRECTED_REQUEST,
        }
    }
}

/// Checks the head of a request that came over a connection to `name` and `port`.
pub(super) fn check(head: &Parts, name: &DnsName, port: Port) -> Result<Target, RequestError> {
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(RequestError::Method(head.method.clone()));
    }
    if head.headers.contains_key(UPGRADE) {
        return Err(RequestError::Upgrade);
    }
    check_coding(&head.headers)?;
    check_host(&head.headers, head.version, name, port)?;
    if let Some(authority) = head.uri.authority() {
        // A URL in full stands above Host (RFC 9112, 3.2.2): both have to name this host.
        check_authority(authority, name, port)?;
        if head.uri.scheme() != Some(&Scheme::HTTPS) {
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
        },
        uri: Uri::from(target),
    })
}

/// Whoever disagrees on the framing of a body can be made to see a request in it: one coding is carried.
fn check_coding(headers: &HeaderMap) -> Result<(), RequestError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(RequestError::TransferCoding),
    }
}

fn check_host(
    headers: &HeaderMap,
    version: Version,
    name: &DnsName,
    port: Port,
) -> Result<(), RequestError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        // HTTP/1.0 has no Host; the connection says which host is meant.
        (None, _) if version == Version::HTTP_10 => return Ok(()),
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
                "GET",
                "/",
                vec![HOST, ("upgrade", "websocket")],
                StatusCode::NOT_IMPLEMENTED,
            ),
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
}

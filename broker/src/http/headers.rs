//! Which headers are carried on, in both directions.

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri, Version,
    header::{
        ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE,
        TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use crate::header_name::remove_all_read_as;

/// What goes with an offer of HTTP/2, which is not carried on (RFC 7540, 3.2.1).
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Headers of one hop (RFC 9110, 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What frames, routes, authenticates or describes a message stands in its head alone (RFC 9110, 6.5.1): read
/// from trailers by some and not by others, a message would be two.
const HEAD_ONLY: [HeaderName; 10] = [
    ALT_SVC,
    AUTHORIZATION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    HOST,
    SET_COOKIE,
    TRAILER,
];

/// What frameworks take another method or path from than the request line has: Rack, Symfony, Laminas, Express,
/// ASP.NET and others, some by default.
const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The one protocol that a connection may change to.
pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What a service speaks, and what of a request depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken<'a> {
    /// Whether it is HTTP/2.
    pub(super) http2: bool,
    /// Whether it is over TLS.
    pub(super) is_encrypted: bool,
    /// The host, with its port where that is not the usual one.
    pub(super) authority: &'a Authority,
}

/// Whether the one protocol that they name to change to is `websocket`, in any case (RFC 9110, 7.8).
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next().filter(|_| protocols.next().is_none());
    protocol.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

/// Makes a client's headers fit for another hop. The protocol that it asks to change to goes with it.
pub(super) fn prepare_request(headers: &mut HeaderMap, upgrade: Option<HeaderValue>) {
    let takes_trailers = takes_trailers(headers);
    remove_hop_by_hop(headers);
    headers.remove(HTTP2_SETTINGS);
    // The broker answers it itself when the body is wanted (RFC 9110, 10.1.1).
    headers.remove(EXPECT);
    headers.remove(HOST);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Takes out what would make another request of it at the service than was decided.
pub(super) fn remove_overrides(headers: &mut HeaderMap) {
    remove_all_read_as(headers, &OVERRIDES);
}

/// Whether a body is coded otherwise than as chunks, once: whoever disagrees on the framing can be made to see
/// another message in it.
pub(super) fn has_other_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) => !coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => true,
    }
}

/// Says a prepared request in the way of the service's connection; once more is no harm.
pub(super) fn fit<B>(request: &mut Request<B>, spoken: Spoken<'_>) {
    let target = request.uri().path_and_query().cloned();
    let mut target = Parts::from(Uri::from(
        target.unwrap_or_else(|| PathAndQuery::from_static("/")),
    ));
    if spoken.http2 {
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
        target.authority = Some(spoken.authority.clone());
        target.scheme = Some(if spoken.is_encrypted {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        });
    } else {
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        // A DNS name has no character that a header may not have.
        let host = HeaderValue::from_str(spoken.authority.as_str())
            .unwrap_or_else(|_| HeaderValue::from_static(""));
        headers.insert(HOST, host);
        if headers.contains_key(TE) {
            // It is of this hop alone (RFC 9110, 10.1.4).
            let connection = match headers.get(UPGRADE) {
                Some(_) => "upgrade, te",
                None => "te",
            };
            headers.insert(CONNECTION, HeaderValue::from_static(connection));
        }
        join_cookies(headers);
    }
    if let Ok(target) = Uri::from_parts(target) {
        *request.uri_mut() = target;
    }
}

/// HTTP/2 may have each cookie in a line of its own, HTTP/1.1 has one line (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let lines: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(TE).iter();
    codings
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Makes a service's headers those of the reply to the client. `Alt-Svc` would lead it around the broker.
pub(super) fn prepare_reply(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // The body is as long as its coding says (RFC 9112, 6.3).
        headers.remove(CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    headers.remove(ALT_SVC);
}

/// Makes trailers fit for another hop.
pub(super) fn prepare_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in &HEAD_ONLY {
        trailers.remove(name);
    }
}

/// Takes out what is meant for one hop alone.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn what_is_meant_for_one_hop_is_not_carried_on() {
        let mut headers = map(&[
            ("connection", "close, X-Own"),
            ("connection", "other"),
            ("x-own", "1"),
            ("other", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("x-kept", "1"),
            ("trailer", "x-sum"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "1"), ("trailer", "x-sum")]));
    }

    #[test]
    fn trailers_change_nothing_of_the_head() {
        let mut trailers = map(&[
            ("content-length", "9"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer own"),
            ("host", "other.example"),
            ("grpc-status", "0"),
        ]);
        prepare_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0")]));
    }

    fn fitted(http2: bool, headers: &[(&'static str, &'static str)], target: &str) -> Request<()> {
        let mut request = Request::new(());
        *request.headers_mut() = map(headers);
        *request.uri_mut() = target.parse().unwrap();
        let authority: Authority = "a.example:8443".parse().unwrap();
        let spoken = Spoken {
            http2,
            is_encrypted: true,
            authority: &authority,
        };
        fit(&mut request, spoken);
        let once = format!("{request:?}");
        fit(&mut request, spoken);
        assert_eq!(format!("{request:?}"), once);
        request
    }

    #[test]
    fn a_request_is_said_as_the_service_speaks() {
        let cookies = [("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")];
        let one = fitted(false, &cookies, "/a?b=1");
        assert_eq!(one.uri(), "/a?b=1");
        assert_eq!(one.headers()[HOST], "a.example:8443");
        assert_eq!(one.headers()[COOKIE], "a=1; b=2");
        assert_eq!(one.headers()[CONNECTION], "te");

        let two = fitted(true, &cookies, "/a?b=1");
        assert_eq!(two.uri(), "https://a.example:8443/a?b=1");
        assert!(!two.headers().contains_key(HOST) && !two.headers().contains_key(CONNECTION));
        assert_eq!(two.headers()[TE], "trailers");
        assert_eq!(two.headers().get_all(COOKIE).iter().count(), 2);
    }

    #[test]
    fn a_change_of_protocol_is_asked_for_anew() {
        let mut headers = map(&[
            ("connection", "upgrade, http2-settings"),
            ("upgrade", "websocket"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
            ("te", "gzip, Trailers"),
        ]);
        prepare_request(&mut headers, Some(HeaderValue::from_static("websocket")));
        let expected = map(&[
            ("te", "trailers"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn without_a_credential_the_client_keeps_its_own() {
        let own = [("authorization", "Bearer own"), ("accept-encoding", "gzip")];
        let mut headers = map(&own);
        prepare_request(&mut headers, None);
        assert_eq!(headers, map(&own));
    }

    #[test]
    fn a_reply_names_no_other_way_to_the_service() {
        let mut headers = map(&[("alt-svc", "h3=\":443\""), ("etag", "1")]);
        prepare_reply(&mut headers);
        assert_eq!(headers, map(&[("etag", "1")]));
    }

    #[test]
    fn a_reply_is_framed_in_one_way() {
        let mut headers = map(&[("content-length", "9"), ("transfer-encoding", "chunked")]);
        prepare_reply(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }
}

//! Which headers are carried on, in both directions.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_ENCODING, ALT_SVC, AUTHORIZATION, CONNECTION, EXPECT, HOST, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
    },
};

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

/// What goes to the service in place of, or beside, what the client sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The host, as the grant names it.
    pub host: HeaderValue,
    /// The credential; the client's own is taken out then, and nothing encoded is asked for, since what
    /// comes back is searched.
    pub authorization: Option<HeaderValue>,
}

/// Makes a client's headers those of the request to the service.
pub(super) fn prepare_request(headers: &mut HeaderMap, outgoing: Outgoing) {
    remove_hop_by_hop(headers);
    // The broker answers it itself when the body is wanted (RFC 9110, 10.1.1).
    headers.remove(EXPECT);
    headers.insert(HOST, outgoing.host);
    if let Some(authorization) = outgoing.authorization {
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
}

/// Makes a service's headers those of the reply to the client. `Alt-Svc` would lead it around the broker.
pub(super) fn prepare_reply(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    headers.remove(ALT_SVC);
}

/// Takes out what is meant for one hop alone; from trailers too.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
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
    fn the_credential_takes_the_place_of_every_authorization_of_the_client() {
        let mut headers = map(&[
            ("authorization", "Bearer own"),
            ("authorization", "Basic own"),
            ("accept-encoding", "gzip, br"),
            ("host", "API.example.com:443"),
            ("expect", "100-continue"),
        ]);
        prepare_request(
            &mut headers,
            Outgoing {
                host: HeaderValue::from_static("api.example.com"),
                authorization: Some(HeaderValue::from_static("Bearer t")),
            },
        );
        assert_eq!(
            headers,
            map(&[
                ("authorization", "Bearer t"),
                ("accept-encoding", "identity"),
                ("host", "api.example.com"),
            ])
        );
    }

    #[test]
    fn without_a_credential_the_client_keeps_its_own() {
        let own = [("authorization", "Bearer own"), ("accept-encoding", "gzip")];
        let mut headers = map(&own);
        prepare_request(
            &mut headers,
            Outgoing {
                host: HeaderValue::from_static("a.example"),
                authorization: None,
            },
        );
        headers.remove(HOST);
        assert_eq!(headers, map(&own));
    }

    #[test]
    fn a_reply_names_no_other_way_to_the_service() {
        let mut headers = map(&[("alt-svc", "h3=\":443\""), ("etag", "1")]);
        prepare_reply(&mut headers);
        assert_eq!(headers, map(&[("etag", "1")]));
    }
}

//! The head of a service's reply, made fit for the agent.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_ENCODING, UPGRADE},
};
use thiserror::Error;

use super::headers::{WEBSOCKET, has_other_coding, is_websocket, prepare_reply};
use crate::scrub::Needles;

/// Why a reply is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum ReplyError {
    /// It changes the protocol, which nobody asked for, or to another one than was asked for.
    #[error("the service changed to another protocol, which is not carried")]
    Protocol,
    /// A coding other than `chunked`, which would be taken off the head and left on the body.
    #[error("a reply in a transfer coding other than `chunked` is not carried")]
    TransferCoding,
    /// It is encoded, so that a credential in it would not be seen.
    #[error(
        "the service encoded its reply although `identity` was asked for; a reply in which a credential or a list of tools may be is carried only if it can be searched"
    )]
    Encoded,
}

/// Makes a service's head that of the reply to the agent. `needles` are masked in it. To a WebSocket it changes
/// only if it `may_change`, to anything else never.
pub(super) fn prepare<B>(
    reply: &mut Response<B>,
    needles: Option<&Needles>,
    may_change: bool,
) -> Result<(), ReplyError> {
    let changes = reply.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    if changes && !(may_change && is_websocket(headers)) {
        return Err(ReplyError::Protocol);
    }
    if has_other_coding(headers) {
        return Err(ReplyError::TransferCoding);
    }
    if let Some(needles) = needles {
        if is_encoded(headers) {
            return Err(ReplyError::Encoded);
        }
        scrub_headers(headers, needles);
    }
    prepare_reply(headers);
    if changes {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
    }
    Ok(())
}

/// What says that a body is compressed, or messages in it.
const ENCODINGS: [HeaderName; 3] = [
    CONTENT_ENCODING,
    HeaderName::from_static("connect-content-encoding"),
    HeaderName::from_static("grpc-encoding"),
];

pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let is_other = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
    };
    ENCODINGS
        .iter()
        .any(|name| headers.get_all(name).iter().any(is_other))
}

/// Masks needles in the values of headers; a header whose very name holds one is taken out.
pub(super) fn scrub_headers(headers: &mut HeaderMap, needles: &Needles) {
    let named: Vec<HeaderName> = headers
        .keys()
        .filter(|name| needles.is_in_without_case(name.as_str().as_bytes()))
        .cloned()
        .collect();
    for name in named {
        headers.remove(name);
    }
    for (_, value) in headers.iter_mut() {
        if let Some(masked) = needles.mask(value.as_bytes()) {
            // A mask is as good a value as what it stands for.
            *value = HeaderValue::from_maybe_shared(bytes::Bytes::from(masked))
                .unwrap_or_else(|_| HeaderValue::from_static("*"));
        }
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

    fn prepared(
        status: StatusCode,
        headers: HeaderMap,
        needles: Option<&Needles>,
        may_change: bool,
    ) -> Result<HeaderMap, ReplyError> {
        let mut reply = Response::new(());
        *reply.status_mut() = status;
        *reply.headers_mut() = headers;
        prepare(&mut reply, needles, may_change)?;
        Ok(reply.into_parts().0.headers)
    }

    #[test]
    fn the_secret_is_masked_in_values_and_taken_out_of_names() {
        let needles = Needles::of(b"SECRET-12345");
        let headers = map(&[
            ("x-echo", "Bearer SECRET-12345, again SECRET-12345"),
            ("x-secret-12345", "1"),
            ("x-base64", "QmVhcmVyIFNFQ1JFVC0xMjM0NQ=="),
            ("etag", "1"),
        ]);
        let headers = prepared(StatusCode::OK, headers, Some(&needles), false).unwrap();
        assert_eq!(headers["x-echo"], "Bearer ************, again ************");
        assert!(!headers.contains_key("x-secret-12345"));
        assert!(!format!("{headers:?}").contains("FNFQ1JFVC"));
        assert_eq!(headers["etag"], "1");
    }

    #[test]
    fn an_encoded_reply_is_refused_only_where_it_must_be_searched() {
        let needles = Needles::of(b"SECRET-12345");
        for (encoding, carried) in [("gzip", false), ("br", false), ("Identity", true)] {
            for name in [
                "content-encoding",
                "grpc-encoding",
                "connect-content-encoding",
            ] {
                let headers = map(&[(name, encoding)]);
                let result = prepared(StatusCode::OK, headers.clone(), Some(&needles), false);
                assert_eq!(result.is_ok(), carried, "{name}: {encoding}");
                assert!(prepared(StatusCode::OK, headers, None, false).is_ok());
            }
        }
    }

    #[test]
    fn a_change_of_protocol_is_carried_only_where_it_was_asked_for() {
        let changed = |may_change| {
            let headers = map(&[
                ("connection", "Upgrade, x-own"),
                ("upgrade", "websocket"),
                ("x-own", "1"),
            ]);
            prepared(StatusCode::SWITCHING_PROTOCOLS, headers, None, may_change)
        };
        assert_eq!(changed(false), Err(ReplyError::Protocol));
        let expected = map(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        assert_eq!(changed(true), Ok(expected));
    }

    #[test]
    fn a_change_to_another_protocol_than_was_asked_for_is_not_carried() {
        let changed = |protocols: &[&'static str]| {
            let headers = protocols.iter().map(|protocol| ("upgrade", *protocol));
            let headers = map(&headers.collect::<Vec<_>>());
            prepared(StatusCode::SWITCHING_PROTOCOLS, headers, None, true).map(drop)
        };
        assert_eq!(changed(&["WebSocket"]), Ok(()));
        for protocols in [
            &["h2c"][..],
            &["websocket, h2c"],
            &["websocket", "h2c"],
            &["TLS/1.0"],
            &[],
        ] {
            assert_eq!(
                changed(protocols),
                Err(ReplyError::Protocol),
                "{protocols:?}"
            );
        }
    }
}

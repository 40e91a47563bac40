//! The head of a service's reply, made fit for the agent.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_ENCODING};
use thiserror::Error;

use super::headers::prepare_reply;
use crate::scrub::Needles;

/// Why a reply is not carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum ReplyError {
    /// It changes the protocol, which nobody asked for.
    #[error("the service changed to another protocol, which is not carried")]
    Protocol,
    /// It is encoded, so that a credential in it would not be seen.
    #[error(
        "the service encoded its reply although `identity` was asked for; a reply to a request with a credential is carried only if it can be searched"
    )]
    Encoded,
}

/// Makes a service's head that of the reply to the agent. `needles` are masked in it.
pub(super) fn prepare(
    status: StatusCode,
    headers: &mut HeaderMap,
    needles: Option<&Needles>,
) -> Result<(), ReplyError> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ReplyError::Protocol);
    }
    if let Some(needles) = needles {
        if is_encoded(headers) {
            return Err(ReplyError::Encoded);
        }
        scrub_headers(headers, needles);
    }
    prepare_reply(headers);
    Ok(())
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|value| {
        let value = value.as_bytes().trim_ascii();
        !value.is_empty() && !value.eq_ignore_ascii_case(b"identity")
    })
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

    #[test]
    fn the_secret_is_masked_in_values_and_taken_out_of_names() {
        let needles = Needles::of(b"SECRET-12345");
        let mut headers = map(&[
            ("x-echo", "Bearer SECRET-12345, again SECRET-12345"),
            ("x-secret-12345", "1"),
            ("x-base64", "QmVhcmVyIFNFQ1JFVC0xMjM0NQ=="),
            ("etag", "1"),
        ]);
        prepare(StatusCode::OK, &mut headers, Some(&needles)).unwrap();
        assert_eq!(headers["x-echo"], "Bearer ************, again ************");
        assert!(!headers.contains_key("x-secret-12345"));
        assert!(!format!("{headers:?}").contains("FNFQ1JFVC"));
        assert_eq!(headers["etag"], "1");
    }

    #[test]
    fn an_encoded_reply_is_refused_only_where_it_must_be_searched() {
        let needles = Needles::of(b"SECRET-12345");
        for (encoding, carried) in [("gzip", false), ("br", false), ("Identity", true)] {
            let mut headers = map(&[("content-encoding", encoding)]);
            let result = prepare(StatusCode::OK, &mut headers, Some(&needles));
            assert_eq!(result.is_ok(), carried, "{encoding}");
            assert!(prepare(StatusCode::OK, &mut headers, None).is_ok());
        }
    }

    #[test]
    fn a_change_of_protocol_is_refused() {
        let result = prepare(StatusCode::SWITCHING_PROTOCOLS, &mut HeaderMap::new(), None);
        assert_eq!(result, Err(ReplyError::Protocol));
    }
}

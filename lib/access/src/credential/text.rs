//! Where in a request a credential can be put: names of headers and of query parameters.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Headers that say how a message is framed, where it goes or what becomes of the connection. A credential
/// has no place in them.
pub const STRUCTURAL_HEADERS: [&str; 22] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "x-forwarded-for",
];

/// Why a text is not a [`HeaderName`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseHeaderError {
    /// It has characters that no header has (RFC 9110, 5.1).
    #[error("`{0}` is not the name of a header: use letters, digits and `-`, at most 64")]
    Form(String),
    /// A header that has another meaning to the connection itself.
    #[error("`{0}` says how a message is carried; a credential has no place in it")]
    Structural(String),
}

/// The name of a header that can hold a credential, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = ParseHeaderError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=64).contains(&text.len()) || !text.bytes().all(is_plain) {
            return Err(ParseHeaderError::Form(text.to_owned()));
        }
        let name = text.to_ascii_lowercase();
        if STRUCTURAL_HEADERS.contains(&name.as_str()) || name.starts_with("sec-") {
            return Err(ParseHeaderError::Structural(text.to_owned()));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why a text is not a [`QueryParameter`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{0}` is not the name of a query parameter: use letters, digits, `-`, `_`, `.` and `~`, at most 64"
)]
pub struct ParseParameterError(String);

/// The name of a query parameter that needs no encoding (RFC 3986, 2.3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryParameter(String);

impl QueryParameter {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for QueryParameter {
    type Err = ParseParameterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        if !(1..=64).contains(&text.len()) || !text.bytes().all(is_plain) {
            return Err(ParseParameterError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for QueryParameter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_goes_into_headers_that_mean_nothing_else() {
        let name: HeaderName = "X-Api-Key".parse().unwrap();
        assert_eq!(name.as_str(), "x-api-key");
        assert!("PRIVATE-TOKEN".parse::<HeaderName>().is_ok());
        for bad in [
            "",
            "x key",
            "x:key",
            "x-ключ",
            "Host",
            "Content-Length",
            "Sec-WebSocket-Key",
        ] {
            assert!(bad.parse::<HeaderName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_parameter_needs_no_encoding() {
        assert!("api_key".parse::<QueryParameter>().is_ok());
        for bad in ["", "a&b", "a=b", "a b", "a%20", "a+b"] {
            assert!(bad.parse::<QueryParameter>().is_err(), "{bad}");
        }
    }
}

//! A secret, for one request.

use bytes::Bytes;
use http::HeaderValue;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::scrub::Needles;

/// Why a secret cannot be put into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum CredentialError {
    /// Nothing, or what could not be found again in a reply.
    #[error("the secret has less than {SHORTEST} characters")]
    TooShort,
    /// More than a header should have.
    #[error("the secret has more than {LONGEST} characters")]
    TooLong,
    /// It would break the header, or hide the place it is masked at.
    #[error("the secret has other than visible ASCII characters, or `*`")]
    Characters,
}

/// Below that, masking a secret in replies would mask much else.
const SHORTEST: usize = 8;

/// What many servers take of a whole head.
const LONGEST: usize = 8 << 10;

/// A bearer token (RFC 6750) for one request. Its memory is cleared when the last holder drops it.
#[derive(Debug)]
pub(crate) struct Bearer {
    header: HeaderValue,
    needles: Needles,
}

impl Bearer {
    /// Takes a secret, without the line end that files have.
    pub(crate) fn new(secret: &Zeroizing<Vec<u8>>) -> Result<Self, CredentialError> {
        let secret = secret.trim_ascii_end();
        if secret.len() < SHORTEST {
            return Err(CredentialError::TooShort);
        }
        if secret.len() > LONGEST {
            return Err(CredentialError::TooLong);
        }
        let is_token = |byte: &u8| byte.is_ascii_graphic() && *byte != crate::scrub::MASK;
        if !secret.iter().all(is_token) {
            return Err(CredentialError::Characters);
        }
        let value = Cleared(Zeroizing::new([b"Bearer ", secret].concat()));
        let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(value))
            .map_err(|_| CredentialError::Characters)?;
        header.set_sensitive(true);
        Ok(Self {
            header,
            needles: Needles::of(secret),
        })
    }

    /// The value of `Authorization`, and what must not come back.
    pub(crate) fn into_parts(self) -> (HeaderValue, Needles) {
        (self.header, self.needles)
    }
}

/// Lets [`Bytes`] hold memory that is cleared.
struct Cleared(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Cleared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(secret: &[u8]) -> Result<Bearer, CredentialError> {
        Bearer::new(&Zeroizing::new(secret.to_vec()))
    }

    #[test]
    fn a_secret_becomes_a_header_that_is_not_printed() {
        let (header, _) = bearer(b"sk-0123456789\n").unwrap().into_parts();
        assert_eq!(header, "Bearer sk-0123456789");
        assert!(!format!("{header:?}").contains("0123"), "{header:?}");
    }

    #[test]
    fn what_would_break_a_header_is_refused() {
        for bad in [
            &b"sk-0123\r\nX: y"[..],
            b"sk 0123456789",
            b"sk-0123456789\0",
            b"sk-*****************",
            "schlüssel-lang".as_bytes(),
        ] {
            assert_eq!(bearer(bad).unwrap_err(), CredentialError::Characters);
        }
        assert_eq!(bearer(b"short\n").unwrap_err(), CredentialError::TooShort);
        assert_eq!(bearer(b"").unwrap_err(), CredentialError::TooShort);
        let long = vec![b'x'; LONGEST + 1];
        assert_eq!(bearer(&long).unwrap_err(), CredentialError::TooLong);
    }
}

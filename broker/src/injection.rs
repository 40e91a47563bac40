//! A secret, put into one request.

mod parameter;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{ACCEPT_ENCODING, AUTHORIZATION, SEC_WEBSOCKET_EXTENSIONS},
    uri::PathAndQuery,
};
use lanyard_access::credential::{self, QueryParameter};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    agent::ObtainedSecret,
    header_name::remove_all_read_as,
    scrub::{Needles, mask_for},
    upstream::substitution::Substitution,
};

/// Why a secret cannot be put into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum InjectionError {
    /// Nothing, or what could not be found again in a reply.
    #[error("the secret has less than {SHORTEST} characters")]
    TooShort,
    /// More than a header should have.
    #[error("the secret has more than {LONGEST} characters")]
    TooLong,
    /// It would break the header, or hide the place it is masked at.
    #[error("the secret has other than visible ASCII characters, or every one of `*#!.,`")]
    Characters,
    /// A password without a user.
    #[error("the credential has no user name")]
    NoUserName,
    /// The target of the request has no room for it.
    #[error("the target of the request is too long to put the secret into")]
    Target,
}

/// Below that, masking a secret in replies would mask much else.
const SHORTEST: usize = 8;

/// What many servers take of a whole head.
const LONGEST: usize = 8 << 10;

/// Headers that clients put keys into. Where a credential is put in, what a client has in any of them is
/// its own, or a placeholder, and a service that read it first would take it for the credential.
const KEY_HEADERS: [HeaderName; 7] = [
    AUTHORIZATION,
    HeaderName::from_static("api-key"),
    HeaderName::from_static("ocp-apim-subscription-key"),
    HeaderName::from_static("private-token"),
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-auth-token"),
    HeaderName::from_static("x-goog-api-key"),
];

/// What asks for replies, or messages in them, that are compressed: those could not be searched.
const COMPRESSION: [HeaderName; 4] = [
    ACCEPT_ENCODING,
    HeaderName::from_static("connect-accept-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
    SEC_WEBSOCKET_EXTENSIONS,
];

/// A credential on its way into one request. Its memory is cleared when the last holder drops it.
#[derive(Debug)]
pub(crate) struct Injected {
    place: Place,
    needles: Needles,
}

#[derive(Debug)]
enum Place {
    Header(HeaderName, HeaderValue),
    Query(QueryParameter, Zeroizing<String>),
}

impl Injected {
    /// Makes a secret ready for the place that its source names.
    pub(crate) fn new(
        injection: &credential::Injection,
        secret: &ObtainedSecret,
    ) -> Result<Self, InjectionError> {
        let value = secret.value.trim_ascii_end();
        check(value)?;
        let place = match injection {
            credential::Injection::Bearer => header(AUTHORIZATION, &[b"Bearer ", value])?,
            credential::Injection::Header { name, prefix } => {
                let name = name.as_str().parse();
                let name = name.map_err(|_| InjectionError::Characters)?;
                header(name, &[prefix.as_bytes(), value])?
            }
            credential::Injection::Basic { username } => {
                let username = username.as_deref().or(secret.username.as_deref());
                let username = username.ok_or(InjectionError::NoUserName)?;
                let pair = joined(&[username.as_bytes(), b":", value]);
                let pair = Zeroizing::new(STANDARD.encode(&*pair));
                header(AUTHORIZATION, &[b"Basic ", pair.as_bytes()])?
            }
            credential::Injection::Query { parameter } => {
                Place::Query(parameter.clone(), percent_encoded(value))
            }
        };
        Ok(Self {
            place,
            needles: Needles::of(value),
        })
    }

    /// Puts it into the head of a request in place of what the client wrote there. Nothing encoded is asked
    /// for, since what comes back is searched.
    pub(crate) fn put(
        &self,
        headers: &mut HeaderMap,
        target: &mut Uri,
    ) -> Result<(), InjectionError> {
        match &self.place {
            Place::Header(name, value) => put_header(headers, name, value.clone()),
            Place::Query(parameter, value) => put_parameter(headers, target, parameter, value)?,
        }
        Ok(())
    }

    /// The same, but that something stands in for the secret.
    pub(crate) fn put_stand_in(
        &self,
        headers: &mut HeaderMap,
        target: &mut Uri,
    ) -> Result<Substitution, InjectionError> {
        let substitution = match &self.place {
            Place::Header(_, value) => Substitution::of(value.as_bytes()),
            Place::Query(_, value) => Substitution::of(value.as_bytes()),
        };
        let stand_in = substitution.stand_in();
        match &self.place {
            Place::Header(name, _) => {
                let stand_in = HeaderValue::from_str(stand_in);
                put_header(
                    headers,
                    name,
                    stand_in.map_err(|_| InjectionError::Characters)?,
                );
            }
            Place::Query(parameter, _) => put_parameter(headers, target, parameter, stand_in)?,
        }
        Ok(substitution)
    }

    /// The header that it stands in; that of keys in general where it stands in the query.
    pub(crate) fn header_name(&self) -> HeaderName {
        match &self.place {
            Place::Header(name, _) => name.clone(),
            Place::Query(..) => AUTHORIZATION,
        }
    }

    /// What to look for in the reply.
    pub(crate) fn needles(&self) -> Needles {
        self.needles.clone()
    }
}

fn put_header(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    make_way(headers, name);
    headers.insert(name, value);
}

fn put_parameter(
    headers: &mut HeaderMap,
    target: &mut Uri,
    parameter: &QueryParameter,
    value: &str,
) -> Result<(), InjectionError> {
    make_way(headers, &AUTHORIZATION);
    *target = with_parameter(target, parameter, value).ok_or(InjectionError::Target)?;
    Ok(())
}

fn make_way(headers: &mut HeaderMap, name: &HeaderName) {
    remove_keys(headers, name);
    remove_all_read_as(headers, &COMPRESSION);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Takes out of a head or of trailers what a client wrote there as its own key, where one is put in under that
/// name.
pub(crate) fn remove_keys(headers: &mut HeaderMap, name: &HeaderName) {
    remove_all_read_as(headers, &KEY_HEADERS);
    remove_all_read_as(headers, std::slice::from_ref(name));
}

fn check(secret: &[u8]) -> Result<(), InjectionError> {
    if secret.len() < SHORTEST {
        return Err(InjectionError::TooShort);
    }
    if secret.len() > LONGEST {
        return Err(InjectionError::TooLong);
    }
    if !secret.iter().all(u8::is_ascii_graphic) || mask_for(secret).is_none() {
        return Err(InjectionError::Characters);
    }
    Ok(())
}

fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    // Room for all of it at once: a growing vector would leave copies behind.
    let length = parts.iter().map(|part| part.len()).sum();
    let mut all = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        all.extend_from_slice(part);
    }
    all
}

fn header(name: HeaderName, parts: &[&[u8]]) -> Result<Place, InjectionError> {
    let value = Bytes::from_owner(Cleared(joined(parts)));
    let value = HeaderValue::from_maybe_shared(value);
    let mut value = value.map_err(|_| InjectionError::Characters)?;
    // Never indexed by HPACK either (RFC 7541, 7.1.3).
    value.set_sensitive(true);
    Ok(Place::Header(name, value))
}

/// All but the unreserved characters encoded (RFC 3986, 2.3).
fn percent_encoded(secret: &[u8]) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(secret.len() * 3));
    for byte in secret {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                let digit = char::from_digit(digit.into(), 16).unwrap_or_default();
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    encoded
}

/// The target with that parameter, and without any of its name that the client wrote.
fn with_parameter(target: &Uri, name: &QueryParameter, value: &str) -> Option<Uri> {
    let query = target.query().unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(
        target.path().len() + query.len() + name.as_str().len() + value.len() + 4,
    ));
    text.extend_from_slice(target.path().as_bytes());
    text.push(b'?');
    for pair in parameter::others_than(name.as_str(), query) {
        text.extend_from_slice(pair.as_bytes());
        text.push(b'&');
    }
    text.extend_from_slice(name.as_str().as_bytes());
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    let text = Bytes::from_owner(Cleared(text));
    let path_and_query = PathAndQuery::from_maybe_shared(text).ok()?;
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    Uri::from_parts(parts).ok()
}

/// Lets [`Bytes`] hold memory that is cleared.
struct Cleared(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Cleared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests;

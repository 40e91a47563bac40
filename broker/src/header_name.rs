//! Names of headers as services read them: CGI (RFC 3875, 4.1.18) and what is built after it hand `x_key` and
//! `x-key` to a program as one.

use http::{HeaderMap, HeaderName};

/// Takes out every header that some service reads as one of those.
pub(crate) fn remove_all_read_as(headers: &mut HeaderMap, names: &[HeaderName]) {
    let is_read = |written: &HeaderName| names.iter().any(|name| is_read_as(written, name));
    let read: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_read(name))
        .cloned()
        .collect();
    for name in read {
        headers.remove(name);
    }
}

fn is_read_as(written: &HeaderName, name: &HeaderName) -> bool {
    let fold = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let (written, name) = (written.as_str().bytes(), name.as_str().bytes());
    written.map(fold).eq(name.map(fold))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_underscore_is_read_as_a_hyphen() {
        let names = ["x-api-key", "x_own"].map(HeaderName::from_static);
        let mut headers = HeaderMap::new();
        for name in [
            "x-api-key",
            "x_api_key",
            "x-api_key",
            "x-own",
            "x_own",
            "x-api-keys",
            "xapikey",
        ] {
            headers.append(name, HeaderValue::from_static("1"));
        }
        remove_all_read_as(&mut headers, &names);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-api-keys", "xapikey"]);
    }
}

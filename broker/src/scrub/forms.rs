//! The forms in which a secret may come back.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

/// Bytes that are cleared.
type Form = Zeroizing<Vec<u8>>;

/// Each form once.
pub(super) fn of(secret: &[u8]) -> Vec<Form> {
    let mut forms = vec![Zeroizing::new(secret.to_vec())];
    let mut add = |form: Form| {
        if !forms.contains(&form) {
            forms.push(form);
        }
    };
    for before in 0..3 {
        add(base64_core(secret, before, &STANDARD_NO_PAD));
        add(base64_core(secret, before, &URL_SAFE_NO_PAD));
    }
    // Of most secrets nothing is ever escaped: a request does not have to make what it has already.
    for keeps in [RFC_3986, FORM, COMPONENT, SLASH, PATH] {
        if secret.iter().all(|byte| stays(*byte, keeps)) {
            continue;
        }
        add(escaped(secret, |byte| percent(byte, keeps, false)));
        add(escaped(secret, |byte| percent(byte, keeps, true)));
    }
    if secret.iter().any(|byte| ESCAPED.contains(byte)) {
        for escape in [json, json_with_slash, json_for_html, html_named, html_of_go] {
            add(escaped(secret, escape));
        }
    }
    forms
}

/// The characters of base64 (RFC 4648) that depend on the secret alone when so many bytes (modulo 3) stand
/// before it.
fn base64_core(secret: &[u8], before: usize, engine: &impl Engine) -> Form {
    let mut plain = Zeroizing::new(vec![0; before]);
    plain.extend_from_slice(secret);
    let encoded = Zeroizing::new(engine.encode(&*plain).into_bytes());
    let first = (before * 8).div_ceil(6);
    let last = plain.len() * 8 / 6;
    Zeroizing::new(encoded[first..last].to_vec())
}

/// What encoders for URLs leave as it is beside letters and digits: strict ones, forms
/// (application/x-www-form-urlencoded), JavaScript's `encodeURIComponent`, Python's `quote`, and encoders of paths.
const RFC_3986: &[u8] = b"-._~";
const FORM: &[u8] = b"-._*";
const COMPONENT: &[u8] = b"-._~!*'()";
const SLASH: &[u8] = b"-._~/";
const PATH: &[u8] = b"-._~!$&'()*+,;=:@/";

/// One byte, escaped: at most six characters.
struct Escape {
    bytes: [u8; 6],
    length: usize,
}

impl Escape {
    fn of(text: &[u8]) -> Self {
        let mut bytes = [0; 6];
        let length = text.len().min(bytes.len());
        bytes[..length].copy_from_slice(&text[..length]);
        Self { bytes, length }
    }
}

fn escaped(secret: &[u8], escape: impl Fn(u8) -> Escape) -> Form {
    // Room for all of it at once: a growing vector would leave copies behind.
    let mut form = Zeroizing::new(Vec::with_capacity(secret.len() * 6));
    for byte in secret {
        let Escape { bytes, length } = escape(*byte);
        form.extend_from_slice(&bytes[..length]);
    }
    form
}

fn stays(byte: u8, keeps: &[u8]) -> bool {
    byte.is_ascii_alphanumeric() || keeps.contains(&byte)
}

fn percent(byte: u8, keeps: &[u8], lower: bool) -> Escape {
    if stays(byte, keeps) {
        return Escape::of(&[byte]);
    }
    let [high, low] = hex(byte, lower);
    Escape::of(&[b'%', high, low])
}

fn hex(byte: u8, lower: bool) -> [u8; 2] {
    let digits: &[u8; 16] = if lower {
        b"0123456789abcdef"
    } else {
        b"0123456789ABCDEF"
    };
    [
        digits[usize::from(byte >> 4)],
        digits[usize::from(byte & 0xf)],
    ]
}

/// All that any of the escapes of JSON and HTML is for.
const ESCAPED: &[u8] = br#""\/&<>'"#;

/// What JSON demands (RFC 8259, 7).
fn json(byte: u8) -> Escape {
    match byte {
        b'"' => Escape::of(br#"\""#),
        b'\\' => Escape::of(br"\\"),
        byte => Escape::of(&[byte]),
    }
}

/// As PHP and some Java libraries write it.
fn json_with_slash(byte: u8) -> Escape {
    match byte {
        b'/' => Escape::of(br"\/"),
        byte => json(byte),
    }
}

/// As Go, Rails and Django write it.
fn json_for_html(byte: u8) -> Escape {
    match byte {
        b'&' => Escape::of(br"\u0026"),
        b'<' => Escape::of(br"\u003c"),
        b'>' => Escape::of(br"\u003e"),
        byte => json(byte),
    }
}

fn html_named(byte: u8) -> Escape {
    match byte {
        b'&' => Escape::of(b"&amp;"),
        b'<' => Escape::of(b"&lt;"),
        b'>' => Escape::of(b"&gt;"),
        b'"' => Escape::of(b"&quot;"),
        b'\'' => Escape::of(b"&#39;"),
        byte => Escape::of(&[byte]),
    }
}

fn html_of_go(byte: u8) -> Escape {
    match byte {
        b'"' => Escape::of(b"&#34;"),
        b'\'' => Escape::of(b"'"),
        byte => html_named(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_escaped_by_anybody_has_no_form_of_its_own() {
        let escapes: [fn(u8) -> Escape; 5] =
            [json, json_with_slash, json_for_html, html_named, html_of_go];
        for byte in b'!'..=b'~' {
            let secret = [b"SECRET-", &[byte][..]].concat();
            let forms = of(&secret);
            for keeps in [RFC_3986, FORM, COMPONENT, SLASH, PATH] {
                for lower in [false, true] {
                    let form = escaped(&secret, |byte| percent(byte, keeps, lower));
                    assert!(forms.contains(&form), "{}", char::from(byte));
                }
            }
            for escape in escapes {
                let form = escaped(&secret, escape);
                assert!(forms.contains(&form), "{}", char::from(byte));
            }
        }
    }
}

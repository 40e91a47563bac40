//! What a scalar is: YAML 1.2's core schema, widened by what Kubernetes' own reader, which knows
//! YAML 1.1, would take for something else than text. So no text is accepted here that `kubectl`
//! would read as a boolean or a number.

/// A scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// Nothing, `~` or `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number in decimal.
    Integer(i64),
    /// A number in another form, as it was written. No field takes one.
    Number(String),
    /// Text.
    Text(String),
}

impl Scalar {
    /// Reads a scalar without quotes.
    pub(super) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => {
                return Self::Bool(true);
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n"
            | "N" => return Self::Bool(false),
            _ => {}
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let is_decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let is_octal_look = digits.len() > 1 && digits.starts_with('0');
        match text.parse() {
            Ok(number) if is_decimal && !is_octal_look => Self::Integer(number),
            _ if is_number(digits) => Self::Number(text.to_owned()),
            _ => Self::Text(text.to_owned()),
        }
    }

    /// What this is, for a message.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Integer(number) => format!("the number {number}"),
            Self::Number(text) => format!("the number {}", shortened(text)),
            Self::Text(text) => format!("the string `{}`", shortened(text)),
        }
    }
}

/// Text of a length that fits into a message.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    line.chars().take(LONGEST).chain(['…']).collect()
}

/// Whether a YAML reader of either version would take `text`, without its sign, for a number.
fn is_number(text: &str) -> bool {
    let radix = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|c| c == '_' || c.is_digit(radix))
        })
    };
    if radix("0x", 16) || radix("0o", 8) || radix("0b", 2) {
        return true;
    }
    if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    // What is left has the form [0-9_]*[.]?[0-9_]*([eE][-+]?[0-9]+)?, with a digit before the exponent.
    let (mantissa, exponent) = text
        .split_once(['e', 'E'])
        .map_or((text, None), |(m, e)| (m, Some(e)));
    let exponent_is_good = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    exponent_is_good
        && mantissa.bytes().any(|byte| byte.is_ascii_digit())
        && mantissa.bytes().filter(|byte| *byte == b'.').count() <= 1
        && !mantissa.starts_with('_')
        && mantissa
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_reads_as_no_text_is_no_text() {
        for text in [
            "~",
            "null",
            "yes",
            "no",
            "on",
            "off",
            "Y",
            "n",
            "1",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "1_000",
            "0644",
            "0x1f",
            "0b1",
            "0o7",
            ".5",
            "1.",
            ".inf",
            "-.inf",
            ".nan",
            "99999999999999999999",
            "1234567890123456789012345678901234567890e10",
        ] {
            assert!(!matches!(Scalar::of_plain(text), Scalar::Text(_)), "{text}");
        }
    }

    #[test]
    fn text_is_text() {
        for text in [
            "a",
            "10m",
            "1h30m",
            "10.0.0.1",
            "::1",
            "2026-11-30T18:00:00Z",
            "e3",
            ".",
            "-",
            "1e",
            "_1",
            "0xg",
            "api.example.com",
            "yes!",
            "1-2",
            "/bin/sh",
            "00ff",
        ] {
            assert_eq!(Scalar::of_plain(text), Scalar::Text(text.to_owned()));
        }
    }

    #[test]
    fn whole_numbers_and_booleans_are_read() {
        assert_eq!(Scalar::of_plain("443"), Scalar::Integer(443));
        assert_eq!(Scalar::of_plain("-7"), Scalar::Integer(-7));
        assert_eq!(Scalar::of_plain("0"), Scalar::Integer(0));
        assert_eq!(Scalar::of_plain("yes"), Scalar::Bool(true));
        assert_eq!(Scalar::of_plain("off"), Scalar::Bool(false));
    }
}

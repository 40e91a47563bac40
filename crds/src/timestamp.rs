//! Timestamps as the API writes them (RFC 3339).

use jiff::Timestamp;

/// Reads `2026-11-30T18:00:00Z` or `2026-11-30T19:00:00.5+01:00`. Other forms of ISO 8601 are not read,
/// for the API server does not either.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    let refused = || {
        format!(
            "`{text}` is not a timestamp; write RFC 3339 with a time zone, for example 2026-11-30T18:00:00Z"
        )
    };
    if !has_form(text) {
        return Err(refused());
    }
    text.parse().map_err(|_| refused())
}

fn has_form(text: &str) -> bool {
    // Each `0` stands for a digit.
    const FORM: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
    };
    let Some((clock, rest)) = text.as_bytes().split_at_checked(FORM.len()) else {
        return false;
    };
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    fits(clock, FORM) && (zone == b"Z" || fits(zone, b"+00:00") || fits(zone, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_api_server_reads_is_a_timestamp() {
        for good in [
            "2026-11-30T18:00:00Z",
            "2026-11-30T18:00:00.25Z",
            "2026-11-30T18:00:00-05:30",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "2026-11-30",
            "2026-11-30T18:00:00",
            "2026-11-30 18:00:00Z",
            "2026-11-30T18:00Z",
            "20261130T180000Z",
            "2026-13-30T18:00:00Z",
            "2026-02-30T18:00:00Z",
            "2026-11-30T18:00:00.Z",
            "2026-11-30T18:00:00+01:00[Europe/Paris]",
            "tomorrow",
            "2026-11-30T25:00:00Z",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

//! Rows of when grants begin and end.

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use super::{
    Case,
    Verdict::{Accepted, Refused},
    create,
};

pub(super) fn rows() -> Vec<Case> {
    let kind = Kind::AccessGrant;
    let duration = |text: &str, verdict| create(kind, &[("/duration", json!(text))], verdict);
    let bad_duration = Refused(
        "spec.duration",
        "is not a duration from 1s to 8784h (366 days): write numbers with the units h, m, s, ms in this order, for example 30s, 10m or 1h30m",
    );
    let one_end = Refused(
        "spec.duration",
        "exactly one of duration and notAfter must be set: duration counts from when the grant is first ready, notAfter is a fixed time",
    );
    let no_time = Refused(
        "spec.notAfter",
        "must be later than notBefore: the grant would end before it begins",
    );
    let at = |hour: u8| json!(format!("2030-11-30T{hour:02}:00:00Z"));
    vec![
        duration("1s", Accepted),
        duration("1h2m3s4ms", Accepted),
        duration("8784h", Accepted),
        duration("8784h1s", bad_duration),
        duration("0s", bad_duration),
        duration("999ms", bad_duration),
        duration("1d", bad_duration),
        duration("1m1h", bad_duration),
        duration("-1h", bad_duration),
        duration("1.5h", bad_duration),
        duration("99999999999999h", bad_duration),
        create(kind, &[("/duration", Value::Null)], one_end),
        create(kind, &[("/notAfter", at(18))], one_end),
        create(
            kind,
            &[
                ("/duration", Value::Null),
                ("/notAfter", at(18)),
                ("/notBefore", at(17)),
            ],
            Accepted,
        ),
        create(
            kind,
            &[
                ("/duration", Value::Null),
                ("/notAfter", at(18)),
                ("/notBefore", at(18)),
            ],
            no_time,
        ),
        // Times are compared as such, not as strings.
        create(
            kind,
            &[
                ("/duration", Value::Null),
                ("/notAfter", at(18)),
                ("/notBefore", json!("2030-11-30T19:00:00+02:00")),
            ],
            Accepted,
        ),
        create(kind, &[("/notBefore", at(18))], Accepted),
    ]
}

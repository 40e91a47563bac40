//! When a grant begins and ends.

use jiff::Timestamp;
use lanyard_access::lifetime::Lifetime;

use super::{AccessGrantSpec, NO_TIME, ONE_END};
use crate::{field::FieldErrors, timestamp};

/// Exactly one of `duration` and `notAfter`.
pub(super) fn check(spec: &AccessGrantSpec, errors: &mut FieldErrors) -> Option<Lifetime> {
    match (&spec.duration, &spec.not_after) {
        (Some(duration), None) => errors
            .keep("spec.duration", duration.parse())
            .map(Lifetime::For),
        (None, Some(_)) => check_end(spec, errors).map(Lifetime::Until),
        (Some(_), Some(_)) | (None, None) => {
            errors.add("spec.duration", ONE_END);
            None
        }
    }
}

/// `notBefore`, if it is set.
pub(super) fn check_beginning(
    spec: &AccessGrantSpec,
    errors: &mut FieldErrors,
) -> Option<Timestamp> {
    let text = spec.not_before.as_deref()?;
    errors.keep("spec.notBefore", timestamp::parse(text))
}

fn check_end(spec: &AccessGrantSpec, errors: &mut FieldErrors) -> Option<Timestamp> {
    let end = errors.keep(
        "spec.notAfter",
        timestamp::parse(spec.not_after.as_deref()?),
    )?;
    let beginning = spec
        .not_before
        .as_deref()
        .and_then(|text| timestamp::parse(text).ok());
    if beginning.is_some_and(|beginning| beginning >= end) {
        errors.add("spec.notAfter", NO_TIME);
    }
    Some(end)
}

//! CEL rules, as they stand in a schema under `x-kubernetes-validations`.
//!
//! A rule stands at the object whose fields it compares and names the field that a user should look
//! at. Its message continues a sentence that begins with the name of that field.

use serde_json::{Value, json};

/// What a user is told who changes a field that says what the object is.
const FIXED: &str = "cannot be changed: write a new AccessGrant";

/// A rule about the value itself.
pub(crate) fn rule(expression: &str, message: &str) -> Value {
    json!({ "rule": expression, "message": message })
}

/// A rule about the object that shows in `field`.
pub(crate) fn rule_of(field: &str, expression: &str, message: &str) -> Value {
    json!({ "rule": expression, "message": message, "fieldPath": format!(".{field}") })
}

/// The value stays as it was first written.
pub(crate) fn fixed() -> Value {
    rule("self == oldSelf", FIXED)
}

/// The optional `field` stays as it was first written, or left out.
pub(crate) fn fixed_option(field: &str) -> Value {
    let expression = format!(
        "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
    );
    rule_of(field, &expression, FIXED)
}

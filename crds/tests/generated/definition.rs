//! Definitions as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

use crate::NOTE;

/// The manifest of a definition.
pub(crate) fn manifest(definition: &CustomResourceDefinition) -> String {
    let value = serde_json::to_value(definition).expect("a definition is JSON");
    let yaml = serde_saphyr::to_string(&tidy(value)).expect("JSON is YAML");
    format!("# {NOTE}\n{yaml}")
}

/// Keys in order, and whole numbers without a fraction: the API's types hold bounds as
/// floating-point numbers.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            let entries = entries.into_iter().map(|(key, value)| (key, tidy(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(tidy).collect(),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0);
            let whole = whole.and_then(|number| format!("{number}").parse::<i64>().ok());
            whole.map_or(Value::Number(number), Value::from)
        }
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}

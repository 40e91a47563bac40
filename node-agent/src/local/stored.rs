//! Objects as text that is kept, and read back by the same reader as manifests.

use lanyard_crds::{
    manifest::{self, Content, Object},
    problem::Problem,
};
use serde_json::Value;

/// An object as it was written, with defaults, without what a server says of it.
pub(super) fn value(object: &Object) -> serde_json::Result<Value> {
    match &object.content {
        Content::AgentIdentity(identity) => serde_json::to_value(identity),
        Content::AccessGrant(grant) => serde_json::to_value(grant),
        Content::CredentialSource(source) => serde_json::to_value(source),
    }
    .map(without_nothing)
}

/// The object that a kept value stands for. `file` is what problems call it.
pub(super) fn read(file: &str, value: &Value) -> Result<Object, Vec<Problem>> {
    let mut objects = manifest::read_text(file, &value.to_string())?;
    objects.pop().ok_or_else(|| {
        vec![Problem {
            file: file.to_owned(),
            line: 1,
            column: 1,
            field: String::new(),
            message: "it holds no object".to_owned(),
            allowed: None,
        }]
    })
}

/// Whether two objects say the same.
pub(super) fn is_same(one: &Object, other: &Object) -> bool {
    one.key == other.key && one.content == other.content
}

/// What is absent is not written: the reader refuses `null`.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let there = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                there
                    .map(|(key, value)| (key, without_nothing(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nothing).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[cfg(test)]
pub(super) mod sample {
    use lanyard_crds::manifest::{Object, read_text};

    /// A grant of `default/bot` with that name, for that host.
    pub(crate) fn grant(name: &str, host: &str) -> String {
        format!(
            "---\napiVersion: lanyard.dev/v1alpha1\nkind: AccessGrant\nmetadata: {{name: {name}}}\nspec: {{identityRef: {{name: bot}}, resource: {{host: \"{host}\", protocol: HTTPS}}, duration: 1h}}\n"
        )
    }

    /// What a text holds.
    pub(crate) fn objects(text: &str) -> Vec<Object> {
        read_text("given.yaml", text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back_as_it_was() {
        let text = sample::grant("a", "api.example.com");
        let object = sample::objects(&text).remove(0);
        let again = read("kept.json", &value(&object).unwrap()).unwrap();
        assert!(is_same(&object, &again));
        assert_eq!(again.file, "kept.json");
        let other = sample::objects(&sample::grant("a", "b.example.com")).remove(0);
        assert!(!is_same(&object, &other));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(read("kept.json", &serde_json::json!({"kind": "X"})).is_err());
        let nothing = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": []});
        assert!(read("kept.json", &nothing).is_err());
    }
}

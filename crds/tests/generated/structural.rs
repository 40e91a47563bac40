//! Every schema is structural, as the API server demands it, and bounded.
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>)

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

/// The only keywords that our schemas use. What checks texts against them knows no others.
const KEYWORDS: [&str; 17] = [
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "properties",
    "required",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-validations",
];

fn schema_of(kind: Kind) -> Value {
    let definition = kind.definition();
    let schema = definition.spec.versions[0].schema.as_ref();
    json!(schema.and_then(|schema| schema.open_api_v3_schema.as_ref()))
}

/// Calls `check` on every schema within `schema`, with its path.
fn each(schema: &Value, path: &str, check: &mut impl FnMut(&Value, &str)) {
    check(schema, path);
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        each(property, &format!("{path}.{key}"), check);
    }
    if !schema["items"].is_null() {
        each(&schema["items"], &format!("{path}[]"), check);
    }
}

fn each_of_all(mut check: impl FnMut(&Value, &str)) {
    for kind in Kind::ALL {
        let mut root = schema_of(kind);
        root.as_object_mut()
            .expect("a schema is a map")
            .remove("title");
        each(&root, kind.as_str(), &mut check);
    }
}

#[test]
fn every_schema_has_a_type_and_only_known_keywords() {
    each_of_all(|schema, path| {
        assert!(schema["type"].is_string(), "{path} has no type");
        for keyword in schema.as_object().into_iter().flat_map(|map| map.keys()) {
            assert!(KEYWORDS.contains(&keyword.as_str()), "{path}: {keyword}");
        }
    });
}

#[test]
fn every_text_and_list_is_bounded() {
    each_of_all(|schema, path| match schema["type"].as_str() {
        Some("string") => assert!(
            schema["maxLength"].is_u64() || schema["enum"].is_array(),
            "{path}"
        ),
        Some("array") => {
            assert!(schema["maxItems"].is_u64(), "{path}");
            assert!(schema["x-kubernetes-list-type"].is_string(), "{path}");
        }
        _ => {}
    });
}

#[test]
fn every_field_is_described() {
    each_of_all(|schema, path| {
        let is_item = path.ends_with("[]");
        assert!(is_item || schema["description"].is_string(), "{path}");
    });
}

#[test]
fn every_rule_says_something_to_a_person() {
    each_of_all(|schema, path| {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(
                message.len() > 20 && !message.contains('\n'),
                "{path}: {rule}"
            );
        }
    });
}

#[test]
fn what_has_a_default_need_not_be_written() {
    each_of_all(|schema, path| {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let required = schema["required"].as_array().into_iter().flatten();
            let is_required = required.into_iter().any(|name| name == key);
            assert!(
                !is_required || property["default"].is_null(),
                "{path}.{key}"
            );
        }
    });
}

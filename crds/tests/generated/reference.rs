//! `docs/api.md`: every kind, field, rule, condition and reason.

use std::fmt::Write as _;

use lanyard_crds::kind::Kind;
use serde_json::{Value, json};

use crate::NOTE;

/// The document.
pub(crate) fn document() -> String {
    let kinds: Vec<String> = Kind::ALL.into_iter().map(section).collect();
    format!(
        "<!-- {NOTE} -->\n# API reference\n\nEvery kind is of the API version `lanyard.dev/v1alpha1` and stands in a namespace. \
         The same manifests work on a cluster and with `lanyard up`. `examples/manifests` has one of each.\n\n{}",
        kinds.join("\n")
    )
}

fn section(kind: Kind) -> String {
    let definition = kind.definition();
    let names = &definition.spec.names;
    let schema = definition.spec.versions[0].schema.as_ref();
    let schema = json!(schema.and_then(|schema| schema.open_api_v3_schema.as_ref()));
    let short = names.short_names.iter().flatten().map(String::as_str);
    let short: Vec<&str> = short.collect();
    let mut text = format!(
        "## {kind}\n\n{}\n\n`kubectl get {}`, in short `kubectl get {}`.\n\n",
        schema["description"].as_str().unwrap_or_default(),
        names.plural,
        short.join(", "),
    );
    let mut tables = Tables::default();
    tables.add(&schema["properties"]["spec"], "spec", true);
    tables.add(&schema["properties"]["status"], "status", false);
    text += "| field | type | required | what it is |\n|---|---|---|---|\n";
    text += &tables.fields;
    text += "\n### Rules\n\n| field | message when the rule is broken |\n|---|---|\n";
    text += &tables.rules;
    for condition in kind.conditions() {
        let name = condition.condition.as_str();
        let meaning = condition.condition.meaning();
        let _ = write!(
            text,
            "\n### Condition {name}\n\nSays {meaning}.\n\n| reason | meaning |\n|---|---|\n"
        );
        for reason in condition.reasons {
            let _ = writeln!(text, "| `{}` | {} |", reason.name, cell(reason.meaning));
        }
    }
    text
}

#[derive(Default)]
struct Tables {
    fields: String,
    rules: String,
}

impl Tables {
    fn add(&mut self, schema: &Value, path: &str, required: bool) {
        let description = schema["description"].as_str().unwrap_or_default();
        // Of `status.conditions` the tables of conditions say more.
        let description = description.split("\n\n").next().unwrap_or_default();
        if !path.ends_with("[]") {
            let _ = writeln!(
                self.fields,
                "| `{path}` | {} | {} | {} |",
                holds(schema),
                if required { "yes" } else { "" },
                cell(description)
            );
        }
        let rules = schema["x-kubernetes-validations"].as_array();
        for rule in rules.into_iter().flatten() {
            let field = rule["fieldPath"].as_str().unwrap_or_default();
            let message = rule["message"].as_str().unwrap_or_default();
            let _ = writeln!(self.rules, "| `{path}{field}` | {} |", cell(message));
        }
        if path == "status.conditions" {
            return;
        }
        let names = schema["required"].as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            self.add(
                property,
                &format!("{path}.{key}"),
                names.contains(&key.as_str()),
            );
        }
        if !schema["items"].is_null() {
            self.add(&schema["items"], &format!("{path}[]"), false);
        }
    }
}

/// What a field holds, in a few words.
fn holds(schema: &Value) -> String {
    let range = |least: &str, most: &str, unit: &str| {
        let least = schema[least].as_f64();
        match (least, schema[most].as_f64()) {
            (Some(least), Some(most)) if least > 0.0 => format!(", {least} to {most}{unit}"),
            (_, Some(most)) => format!(", up to {most}{unit}"),
            (_, None) => String::new(),
        }
    };
    let mut text = match schema["type"].as_str().unwrap_or_default() {
        "string" if schema["enum"].is_array() => {
            let choices = schema["enum"].as_array().into_iter().flatten();
            let choices: Vec<String> = choices
                .map(|c| format!("`{}`", c.as_str().unwrap_or_default()))
                .collect();
            choices.join(" or ")
        }
        "string" if schema["format"] == "date-time" => "timestamp".to_owned(),
        "string" => format!("string{}", range("minLength", "maxLength", " characters")),
        "integer" => format!("integer{}", range("minimum", "maximum", "")),
        "boolean" => "boolean".to_owned(),
        "array" => format!("list{}", range("minItems", "maxItems", " items")),
        _ => "object".to_owned(),
    };
    if !schema["default"].is_null() {
        let _ = write!(text, "; {} when left out", schema["default"]);
    }
    text
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

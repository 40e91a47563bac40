//! JSON as YAML that people read: objects in blocks, text without quotes where nothing is lost by it.

use serde_json::Value;

/// The document of a value, with a line break at its end.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    push_block(&mut text, value, 0);
    text
}

fn push_block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                indent(text, depth);
                push_entry(text, key, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                indent(text, depth);
                push_item(text, item, depth);
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            indent(text, depth);
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
}

fn push_entry(text: &mut String, key: &str, value: &Value, depth: usize) {
    text.push_str(&scalar(&Value::from(key)));
    text.push(':');
    if is_block(value) {
        text.push('\n');
        push_block(text, value, depth + 1);
    } else if let Some(lines) = value.as_str().and_then(literal) {
        text.push_str(" |\n");
        for line in lines {
            indent(text, depth + 1);
            text.push_str(line);
            text.push('\n');
        }
    } else {
        text.push(' ');
        text.push_str(&scalar(value));
        text.push('\n');
    }
}

/// The first entry of a map in a list stands behind its dash.
fn push_item(text: &mut String, item: &Value, depth: usize) {
    text.push_str("- ");
    match item {
        Value::Object(map) if !map.is_empty() => {
            for (place, (key, value)) in map.iter().enumerate() {
                if place > 0 {
                    indent(text, depth + 1);
                }
                push_entry(text, key, value, depth + 1);
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            text.push_str(&scalar(item));
            text.push('\n');
        }
    }
}

fn indent(text: &mut String, depth: usize) {
    text.push_str(&"  ".repeat(depth));
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The lines of a text that a literal block gives back as it is: several, the last one ended, none
/// with what a block would take for indentation or a line break.
fn literal(text: &str) -> Option<Vec<&str>> {
    let body = text.strip_suffix('\n')?;
    let lines: Vec<_> = body.split('\n').collect();
    let is_plain = |line: &&str| {
        !line.is_empty() && !line.starts_with(' ') && line.chars().all(|c| matches!(c, ' '..='~'))
    };
    (lines.len() > 1 && lines.iter().all(is_plain)).then_some(lines)
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        // JSON is YAML: its strings stand in double quotes.
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => value.to_string(),
    }
}

/// Whether a text is the same without quotes, to readers of YAML 1.1 too: no number, no yes or no, no
/// date, and nothing that YAML gives a meaning.
fn is_plain(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let reserved = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf",
    ];
    starts && text.chars().all(is_word) && !reserved.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_and_lists_are_blocks() {
        let value = json!({
            "kind": "AccessGrant",
            "spec": {
                "empty": {},
                "list": [{"more": {"x": 1}, "name": "a"}, "plain", []],
                "pem": "-----BEGIN-----\nAAA=\n",
            },
        });
        let expected = "\
kind: AccessGrant
spec:
  empty: {}
  list:
    - more:
        x: 1
      name: a
    - plain
    - []
  pem: |
    -----BEGIN-----
    AAA=
";
        assert_eq!(document(&value), expected);
    }

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "null",
            "1.5",
            "0x1",
            "a: b",
            "a #b",
            "",
            " a",
            "- a",
            "2026-11-26",
            "a\n",
            "*x",
            "1e3",
            "~",
            "größe",
            "b64=",
        ] {
            assert_eq!(document(&json!(text)), format!("{}\n", json!(text)));
        }
        assert_eq!(document(&json!("api.example.com")), "api.example.com\n");
    }
}

//! Strings, numbers and booleans.

use serde_json::Value as Json;

use super::{Place, one_of, wrong_type};
use crate::{
    problem::Mistake,
    schema::closest::closest,
    timestamp,
    yaml::{Node, Scalar, Value, shortened},
};

/// Reads a value of the type `kind`.
pub(super) fn read(
    node: &Node,
    schema: &Json,
    kind: &str,
    place: &Place,
    mistakes: &mut Vec<Mistake>,
) -> Json {
    let scalar = match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        Value::List(_) | Value::Map(_) => None,
    };
    let read = match (kind, scalar) {
        ("string", Some(Scalar::Text(text))) => {
            check_text(text, schema).map(|()| text.as_str().into())
        }
        ("integer", Some(Scalar::Integer(number))) => {
            check_number(*number, schema).map(|()| (*number).into())
        }
        ("boolean", Some(Scalar::Bool(value))) => Ok((*value).into()),
        (_, scalar) => {
            mistakes.push(wrong_type(node, place).allowing(expected(kind, scalar)));
            return Json::Null;
        }
    };
    match read {
        Ok(value) => value,
        Err(Wrong { message, allowed }) => {
            mistakes.push(Mistake::new(node.at, &place.field, message).allowing(allowed));
            Json::Null
        }
    }
}

struct Wrong {
    message: String,
    allowed: String,
}

fn expected(kind: &str, found: Option<&Scalar>) -> String {
    match (kind, found) {
        ("string", Some(Scalar::Bool(_) | Scalar::Integer(_) | Scalar::Number(_))) => {
            "a string is expected: put it in quotes".to_owned()
        }
        ("string", _) => "a string is expected".to_owned(),
        ("integer", Some(Scalar::Text(text))) if text.parse::<i64>().is_ok() => {
            "a whole number is expected: leave out the quotes".to_owned()
        }
        ("integer", _) => "a whole number is expected".to_owned(),
        _ => "true or false is expected".to_owned(),
    }
}

fn check_text(text: &str, schema: &Json) -> Result<(), Wrong> {
    if let Some(choices) = schema["enum"].as_array() {
        return check_choice(text, choices);
    }
    let length = text.chars().count();
    let bound = |name: &str| {
        schema[name]
            .as_u64()
            .and_then(|bound| usize::try_from(bound).ok())
    };
    if bound("minLength").is_some_and(|least| length < least) {
        return Err(Wrong {
            message: "is empty".to_owned(),
            allowed: "write at least one character".to_owned(),
        });
    }
    if let Some(most) = bound("maxLength").filter(|most| length > *most) {
        return Err(Wrong {
            message: format!("has {length} characters"),
            allowed: format!("at most {most} are allowed"),
        });
    }
    if schema["format"] == "date-time" && timestamp::parse(text).is_err() {
        return Err(Wrong {
            message: format!("`{}` is not a timestamp", shortened(text)),
            allowed: "write RFC 3339 with a time zone, for example 2026-11-30T18:00:00Z".to_owned(),
        });
    }
    Ok(())
}

fn check_choice(text: &str, choices: &[Json]) -> Result<(), Wrong> {
    if choices.iter().any(|choice| choice == text) {
        return Ok(());
    }
    let near = closest(text, choices.iter().filter_map(Json::as_str));
    let near = near
        .map(|near| format!("did you mean {near}? "))
        .unwrap_or_default();
    Err(Wrong {
        message: format!("`{}` is not allowed", shortened(text)),
        allowed: format!("{near}write {}", one_of(choices)),
    })
}

fn check_number(number: i64, schema: &Json) -> Result<(), Wrong> {
    // The API's schema type holds bounds as floating-point numbers; ours are small and whole.
    let least = schema["minimum"].as_f64();
    let most = schema["maximum"].as_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a number that large is beyond every bound"
    )]
    let value = number as f64;
    if least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most) {
        return Ok(());
    }
    let range = match (least, most) {
        (Some(least), Some(most)) => format!("write a number from {least} to {most}"),
        (Some(least), None) => format!("write a number from {least}"),
        (None, _) => format!("write a number up to {}", most.unwrap_or_default()),
    };
    Err(Wrong {
        message: format!("{number} is out of range"),
        allowed: range,
    })
}

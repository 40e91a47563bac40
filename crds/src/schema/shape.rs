//! Whether a value has the form that a schema demands: fields, types, bounds and choices.
//!
//! This knows the part of JSON Schema that our own schemas use; a test holds them to it.

mod scalar;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::closest::closest;
use crate::{
    problem::{Mistake, Position},
    yaml::{Node, Value},
};

/// Reads `node` by `schema`. What is wrong is added to `mistakes`, and then the result means nothing.
pub(crate) fn read(node: &Node, schema: &Json, mistakes: &mut Vec<Mistake>) -> Json {
    let root = Place {
        field: String::new(),
        owner: node.at,
    };
    read_at(node, schema, &root, mistakes)
}

/// Where in a document a value stands.
struct Place {
    field: String,
    /// The key that the value belongs to, or the value itself in a list.
    owner: Position,
}

impl Place {
    fn key(&self, key: &str, owner: Position) -> Self {
        let field = if self.field.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.field)
        };
        Self { field, owner }
    }

    fn item(&self, index: usize, owner: Position) -> Self {
        Self {
            field: format!("{}[{index}]", self.field),
            owner,
        }
    }
}

fn read_at(node: &Node, schema: &Json, place: &Place, mistakes: &mut Vec<Mistake>) -> Json {
    match schema["type"].as_str() {
        None => Json::Null,
        Some("object") => read_object(node, schema, place, mistakes),
        Some("array") => read_list(node, schema, place, mistakes),
        Some(kind) => scalar::read(node, schema, kind, place, mistakes),
    }
}

fn read_object(node: &Node, schema: &Json, place: &Place, mistakes: &mut Vec<Mistake>) -> Json {
    let Value::Map(entries) = &node.value else {
        mistakes.push(
            wrong_type(node, place)
                .allowing("fields are expected, each as `name: value` on a line of its own"),
        );
        return Json::Null;
    };
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let mut object = Map::new();
    let mut meant = Vec::new();
    for entry in entries {
        let place = place.key(&entry.key, entry.key_at);
        let Some(property) = properties.get(&entry.key) else {
            // As in a structural schema: what else is there is others'.
            if schema["additionalProperties"] == true {
                continue;
            }
            let near = closest(&entry.key, properties.keys().map(String::as_str));
            mistakes.push(unknown_field(&place, near, properties));
            meant.extend(near);
            continue;
        };
        // Others write fields without a type, and Lanyard does not read them.
        if property.get("type").is_none() {
            continue;
        }
        if entry.value.is_null() && property["additionalProperties"] == true {
            continue;
        }
        // Whoever looks at an empty field expects that it says something; the API server drops it.
        if entry.value.is_null() {
            let mistake = Mistake::new(entry.key_at, &place.field, "has no value");
            mistakes.push(mistake.allowing("write one, or leave the field out"));
            continue;
        }
        let value = read_at(&entry.value, property, &place, mistakes);
        object.insert(entry.key.clone(), value);
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for key in required.filter_map(Json::as_str) {
        if node.entry(key).is_none() && !meant.contains(&key) {
            let place = place.key(key, place.owner);
            mistakes.push(missing(&place, &properties[key]));
        }
    }
    Json::Object(object)
}

fn unknown_field(place: &Place, near: Option<&str>, properties: &Map<String, Json>) -> Mistake {
    let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
    names.sort_unstable();
    let allowed = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("fields here are {}", names.join(", ")),
    };
    Mistake::new(place.owner, &place.field, "there is no such field").allowing(allowed)
}

fn missing(place: &Place, schema: &Json) -> Mistake {
    let mistake = Mistake::new(place.owner, &place.field, "is missing");
    match schema["enum"].as_array() {
        Some(choices) => mistake.allowing(format!("write {}", one_of(choices))),
        None => mistake,
    }
}

fn one_of(choices: &[Json]) -> String {
    let choices: Vec<&str> = choices.iter().filter_map(Json::as_str).collect();
    choices.join(" or ")
}

fn wrong_type(node: &Node, place: &Place) -> Mistake {
    let (at, found) = match &node.value {
        Value::Scalar(scalar) => (node.at, scalar.describe()),
        Value::List(_) => (place.owner, "a list".to_owned()),
        Value::Map(_) => (place.owner, "a mapping".to_owned()),
    };
    Mistake::new(at, &place.field, format!("is {found}"))
}

fn read_list(node: &Node, schema: &Json, place: &Place, mistakes: &mut Vec<Mistake>) -> Json {
    let Value::List(items) = &node.value else {
        mistakes.push(
            wrong_type(node, place)
                .allowing("a list is expected, each item on a line that begins with `- `"),
        );
        return Json::Null;
    };
    let bound = |name: &str| {
        schema[name]
            .as_u64()
            .and_then(|bound| usize::try_from(bound).ok())
    };
    let count = match items.len() {
        0 => "is an empty list".to_owned(),
        1 => "has 1 item".to_owned(),
        more => format!("has {more} items"),
    };
    if let Some(fewest) = bound("minItems").filter(|fewest| items.len() < *fewest) {
        mistakes.push(
            Mistake::new(place.owner, &place.field, &*count)
                .allowing(format!("write at least {fewest}")),
        );
    }
    if let Some(most) = bound("maxItems").filter(|most| items.len() > *most) {
        mistakes.push(
            Mistake::new(place.owner, &place.field, &*count)
                .allowing(format!("at most {most} are allowed")),
        );
        return Json::Null;
    }
    let items = items.iter().enumerate().map(|(index, item)| {
        let place = place.item(index, item.at);
        (read_at(item, &schema["items"], &place, mistakes), item)
    });
    let items: Vec<(Json, &std::rc::Rc<Node>)> = items.collect();
    find_repeated(&items, schema, place, mistakes);
    Json::Array(items.into_iter().map(|(value, _)| value).collect())
}

/// Sets hold a value once, and maps a key once.
fn find_repeated(
    items: &[(Json, &std::rc::Rc<Node>)],
    schema: &Json,
    place: &Place,
    mistakes: &mut Vec<Mistake>,
) {
    let key = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => None,
        Some("map") => schema["x-kubernetes-list-map-keys"][0].as_str(),
        _ => return,
    };
    let mut lines = BTreeMap::new();
    for (index, (value, node)) in items.iter().enumerate() {
        let name = key.map_or(value, |key| &value[key]);
        let Some(name) = name.as_str() else { continue };
        let at = key.map_or(node.at, |key| node.place_of(key));
        if let Some(line) = lines.get(name) {
            let item = place.item(index, node.at);
            let field = key.map_or(item.field.clone(), |key| format!("{}.{key}", item.field));
            let message = format!("`{name}` is in the list twice; the first is in line {line}");
            mistakes.push(Mistake::new(at, &field, message));
        } else {
            lines.insert(name.to_owned(), at.line);
        }
    }
}

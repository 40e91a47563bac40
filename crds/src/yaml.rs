//! YAML text as a tree in which every key and value knows its place.

mod reader;
mod scalar;

use std::rc::Rc;

pub(crate) use self::{
    reader::documents,
    scalar::{Scalar, shortened},
};
use crate::problem::Position;

/// A value and its place. Aliases share what they stand for.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
    /// How many values this is with everything in it, aliases written out.
    weight: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Rc<Node>>),
    Map(Vec<Entry>),
}

/// A key with its value. No key stands twice in one map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Rc<Node>,
}

impl Node {
    /// Whether nothing is written here.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Scalar::Null))
    }

    /// The entry of that key, if this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The text of the entry of that key, if it is text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.entry(key)?.value.value {
            Value::Scalar(Scalar::Text(text)) => Some(text),
            Value::Scalar(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The place of a field such as `spec.processes[0].name`: of its value, or of its key when the
    /// value spans lines; when it is not there, of the nearest key above it.
    pub(crate) fn place_of(&self, field: &str) -> Position {
        let mut node = self;
        let mut owner = self.at;
        for step in field.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match &node.value {
                Value::List(items) => step
                    .strip_suffix(']')
                    .and_then(|index| items.get(index.parse::<usize>().ok()?))
                    .map(|item| (item.at, item)),
                Value::Map(_) => node.entry(step).map(|entry| (entry.key_at, &entry.value)),
                Value::Scalar(_) => None,
            };
            let Some((place, child)) = next else {
                return owner;
            };
            owner = place;
            node = child;
        }
        match &node.value {
            Value::Scalar(_) => node.at,
            Value::List(_) | Value::Map(_) => owner,
        }
    }
}

//! Objects from YAML files, as `lanyard up` reads them: by the same schemas and rules as the API
//! server's, and with the place of every mistake.
//!
//! What an object refers to need not be there: that is a reason in the grant's standing, not a mistake
//! in a file.

mod content;
mod header;
mod set;

use std::path::Path;

use lanyard_access::object::ObjectKey;

use self::header::Header;
pub use self::{
    content::Content,
    set::{Lives, Set},
};
use crate::{
    kind::Kind,
    problem::{Mistake, Position, Problem},
    schema::{BrokenRule, Schema},
    source,
    yaml::{self, Node},
};

/// How many problems of one file are told.
const MOST_PROBLEMS: usize = 100;

/// An object from a file. It has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Namespace and name.
    pub key: ObjectKey,
    /// What was written.
    pub content: Content,
    /// The file it is from.
    pub file: String,
    /// Where in the file its name stands.
    pub position: Position,
    /// What was written, with defaults, as the rules see it.
    value: serde_json::Value,
}

impl Object {
    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.content.kind()
    }

    /// What of this object may not follow `old`, which has the same kind and key: what is fixed has
    /// changed, or what is taken back has been given again.
    pub fn check_update(&self, old: &Self) -> Vec<Problem> {
        let broken = Schema::of_kind(self.kind()).broken_rules(&self.value, Some(&old.value));
        let mistakes = broken
            .into_iter()
            .map(|BrokenRule { field, message }| Mistake::new(self.position, &field, message));
        mistakes
            .map(|mistake| mistake.in_file(&self.file))
            .collect()
    }
}

/// Every object of a file, or what is wrong with it.
pub fn read_file(path: &Path) -> Result<Vec<Object>, Vec<Problem>> {
    let text = source::read_file(path).map_err(|problem| vec![problem])?;
    read_text(&path.display().to_string(), &text)
}

/// Every object of a text of one or more YAML documents, or what is wrong with it. `file` is the name
/// by which problems call the text.
pub fn read_text(file: &str, text: &str) -> Result<Vec<Object>, Vec<Problem>> {
    let in_file = |mistake: Mistake| mistake.in_file(file);
    source::check_length(text.len()).map_err(|mistake| vec![in_file(mistake)])?;
    let mut objects = Vec::new();
    let mut mistakes = Vec::new();
    for document in yaml::documents(text) {
        mistakes.extend(document.mistakes);
        if let Some(root) = document.root {
            read_document(&root, file, &mut objects, &mut mistakes);
        }
    }
    let mut problems: Vec<Problem> = mistakes.into_iter().map(in_file).collect();
    problems.extend(set::find_repeated(&objects));
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.truncate(MOST_PROBLEMS);
    if problems.is_empty() {
        Ok(objects)
    } else {
        Err(problems)
    }
}

fn read_document(root: &Node, file: &str, objects: &mut Vec<Object>, mistakes: &mut Vec<Mistake>) {
    let header = header::read(root, mistakes);
    match header {
        Some(Header::Object(kind)) => objects.extend(read_object(root, kind, file, mistakes)),
        Some(Header::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                let mut of_item = Vec::new();
                read_document(item, file, objects, &mut of_item);
                mistakes.extend(of_item.into_iter().map(|mut mistake| {
                    let dot = if mistake.field.is_empty() { "" } else { "." };
                    mistake.field = format!("items[{index}]{dot}{}", mistake.field);
                    mistake
                }));
            }
        }
        None => {}
    }
}

fn read_object(root: &Node, kind: Kind, file: &str, mistakes: &mut Vec<Mistake>) -> Option<Object> {
    let schema = Schema::of_kind(kind);
    let value = schema.read(root, mistakes)?;
    let content = Content::from_value(kind, value.clone());
    let content = content
        .map_err(|error| mistakes.push(Mistake::new(root.at, "", error.to_string())))
        .ok()?;
    let (key, errors) = match content.key() {
        Ok(key) => (Some(key), content.errors()),
        Err(errors) => (None, errors),
    };
    let broken = schema.broken_rules(&value, None);
    // The checked types say more than the rules do, where both find fault with the same field.
    let broken = broken
        .into_iter()
        .filter(|rule| errors.iter().all(|error| error.path != rule.field))
        .map(|BrokenRule { field, message }| Mistake::new(root.place_of(&field), &field, message));
    let before = mistakes.len();
    mistakes.extend(broken);
    mistakes.extend(
        errors
            .iter()
            .map(|error| Mistake::new(root.place_of(&error.path), &error.path, &*error.message)),
    );
    let key = key.filter(|_| mistakes.len() == before)?;
    Some(Object {
        key,
        content,
        file: file.to_owned(),
        position: root.place_of("metadata.name"),
        value,
    })
}

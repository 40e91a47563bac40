//! The objects of this machine, for those who write and read them.

mod requests;
mod status;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    rc::Rc,
};

use lanyard_access::object::ObjectKey;
use lanyard_crds::{
    kind::Kind,
    manifest::{self, Content, Object, Set},
    problem::Problem,
};
use lanyard_protocol::{
    control::{Apply, Ask, Decide, Decided, Delete, Get, Manifest, ObjectStatus, Refused},
    record::ObjectChange,
};

use self::requests::Plan;
use super::{
    applied::Change,
    sources::{ChangeError, Sources},
    stored,
};
use crate::{
    control::{Done, Objects},
    kernel::clock::Moment,
    node::Node,
};

/// How many objects can be applied, and how many one call may change.
const MOST: usize = 20_000;

/// Shared between what looks at files and what answers callers, on one thread.
pub(super) struct LocalObjects(pub(super) Rc<RefCell<Sources>>);

impl Objects for LocalObjects {
    fn apply(&self, node: &mut Node, asked: &Apply, now: Moment) -> Result<Vec<Done>, Refused> {
        let objects = read(&asked.manifests).map_err(nothing_applied)?;
        let mut sources = self.0.borrow_mut();
        let plan = plan(objects, &sources).map_err(nothing_applied)?;
        let (done, changes): (Vec<Done>, Vec<Option<Change>>) = plan.into_iter().unzip();
        let changes: Vec<Change> = changes.into_iter().flatten().collect();
        if sources.objects().count() + changes.len() > MOST {
            let message = format!("more than {MOST} objects are not kept");
            return Err(nothing_applied(vec![message]));
        }
        if !changes.is_empty() {
            sources
                .change(node, changes, now.wall)
                .map_err(|error| not_changed("applied", error))?;
        }
        Ok(done)
    }

    fn delete(&self, node: &mut Node, asked: &Delete, now: Moment) -> Result<Vec<Done>, Refused> {
        let mut sources = self.0.borrow_mut();
        let names = names(asked).map_err(nothing_deleted)?;
        let problems: Vec<String> = names
            .iter()
            .filter_map(|(kind, key)| keeps_from_deleting(*kind, key, &sources))
            .collect();
        if !problems.is_empty() {
            return Err(nothing_deleted(problems));
        }
        let done = names.iter().map(|(kind, key)| Done {
            kind: kind.to_string(),
            key: key.clone(),
            change: Some(ObjectChange::Deleted),
        });
        let done = done.collect();
        let changes = names.into_iter().map(|name| (name, None)).collect();
        sources
            .change(node, changes, now.wall)
            .map_err(|error| not_changed("deleted", error))?;
        Ok(done)
    }

    fn ask(
        &self,
        node: &mut Node,
        asked: &Ask,
        by: &str,
        now: Moment,
    ) -> Result<(ObjectKey, bool), Refused> {
        let mut sources = self.0.borrow_mut();
        let objects = sources.objects().map(|(object, _)| object);
        let plan = requests::plan(asked, by, objects);
        let object = match plan.map_err(not_asked_for)? {
            Plan::Known(key) => return Ok((key, false)),
            Plan::Write(object) => *object,
        };
        if sources.objects().count() >= MOST {
            return Err(not_asked_for(format!(
                "more than {MOST} objects are not kept"
            )));
        }
        let key = object.key.clone();
        let change = ((object.kind(), key.clone()), Some(object));
        sources
            .change(node, vec![change], now.wall)
            .map_err(|error| not_changed("asked for", error))?;
        Ok((key, true))
    }

    fn decide(
        &self,
        node: &mut Node,
        asked: &Decide,
        by: &str,
        now: Moment,
    ) -> Result<Decided, Refused> {
        let key = key_of(&asked.grant).map_err(refused)?;
        let mut sources = self.0.borrow_mut();
        let Some(object) = sources.applied(Kind::AccessGrant, &key) else {
            return Err(Refused {
                message: format!("nobody asked for an AccessGrant {key}"),
                hint: "`lanyard get AccessGrant` shows what there is".to_owned(),
            });
        };
        let object = requests::decided(object, asked, by).map_err(refused)?;
        let told = status::decided(&object);
        let change = ((Kind::AccessGrant, key), Some(object));
        sources
            .change(node, vec![change], now.wall)
            .map_err(|error| not_changed("decided", error))?;
        Ok(told)
    }

    fn get(
        &self,
        node: &Node,
        asked: &Get,
        sees: Option<&dyn Fn(&ObjectKey) -> bool>,
        now: Moment,
    ) -> Result<Vec<ObjectStatus>, Refused> {
        let kind = match asked.kind.as_str() {
            "" => None,
            name => Some(kind_of(name).map_err(refused)?),
        };
        let key = match asked.name.as_str() {
            "" => None,
            name => Some(key_of(name).map_err(refused)?),
        };
        let sources = self.0.borrow();
        let mut found: BTreeMap<_, _> = sources
            .objects()
            .filter(|(object, _)| kind.is_none_or(|kind| object.kind() == kind))
            .filter(|(object, _)| key.as_ref().is_none_or(|key| object.key == *key))
            .filter(|(object, _)| sees.is_none_or(|sees| is_about(object, sees)))
            .map(|(object, file)| ((object.kind(), &object.key), (object, file)))
            .collect();
        if found.is_empty()
            && let Some(key) = key
        {
            let kind = kind.map_or("object", Kind::as_str);
            let message = format!("there is no {kind} {key} that you may see");
            return Err(refused(message));
        }
        let told = |(object, file): (&Object, Option<&str>)| {
            status::told(object, file, node, now).map_err(|error| refused(error.to_string()))
        };
        std::mem::take(&mut found).into_values().map(told).collect()
    }
}

/// Every object of all texts, or every problem.
fn read(manifests: &[Manifest]) -> Result<Vec<Object>, Vec<String>> {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for Manifest { name, text } in manifests {
        match manifest::read_text(name, text) {
            Ok(read) => objects.extend(read),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        // Says which are written twice.
        return match Set::new(objects.iter().cloned()) {
            Ok(_) => Ok(objects),
            Err(problems) => Err(lines(&problems)),
        };
    }
    Err(lines(&problems))
}

/// What becomes of each object.
fn plan(
    objects: Vec<Object>,
    sources: &Sources,
) -> Result<Vec<(Done, Option<Change>)>, Vec<String>> {
    let (mut plan, mut problems) = (Vec::new(), Vec::new());
    for object in objects {
        let kind = object.kind();
        if let Some(file) = sources.file_of(kind, &object.key) {
            problems.push(format!(
                "{}:{}:{}: {kind} {} comes from {file}: change it there, or take it out of that file first",
                object.file, object.position.line, object.position.column, object.key
            ));
            continue;
        }
        let change = match sources.applied(kind, &object.key) {
            Some(old) if stored::is_same(old, &object) => None,
            Some(_) => Some(ObjectChange::Configured),
            None => Some(ObjectChange::Created),
        };
        let done = Done {
            kind: kind.to_string(),
            key: object.key.clone(),
            change,
        };
        let name = (kind, object.key.clone());
        plan.push((done, change.map(|_| (name, Some(object)))));
    }
    if problems.is_empty() {
        Ok(plan)
    } else {
        Err(problems)
    }
}

fn names(asked: &Delete) -> Result<BTreeSet<(Kind, ObjectKey)>, Vec<String>> {
    let mut names = BTreeSet::new();
    for object in &asked.objects {
        let kind = kind_of(&object.kind).map_err(|problem| vec![problem])?;
        let key = key_of(&object.name).map_err(|problem| vec![problem])?;
        names.insert((kind, key));
    }
    let written = read(&asked.manifests)?.into_iter();
    names.extend(written.map(|object| (object.kind(), object.key)));
    Ok(names)
}

fn keeps_from_deleting(kind: Kind, key: &ObjectKey, sources: &Sources) -> Option<String> {
    if let Some(file) = sources.file_of(kind, key) {
        return Some(format!(
            "{kind} {key} comes from {file}: take it out of that file"
        ));
    }
    match sources.applied(kind, key) {
        Some(_) => None,
        None => Some(format!("there is no {kind} {key}")),
    }
}

/// Whether an object is about an agent that a caller may run.
fn is_about(object: &Object, sees: &dyn Fn(&ObjectKey) -> bool) -> bool {
    match &object.content {
        Content::AgentIdentity(_) => sees(&object.key),
        Content::AccessGrant(grant) => {
            let name = grant.spec.identity_ref.name.parse();
            name.is_ok_and(|name| {
                sees(&ObjectKey {
                    namespace: object.key.namespace.clone(),
                    name,
                })
            })
        }
        // Where credentials come from is the owner's affair.
        Content::CredentialSource(_) => false,
    }
}

fn kind_of(name: &str) -> Result<Kind, String> {
    Kind::of_name(name).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::as_str).join(", ");
        format!("`{name}` is no kind; there are {known}")
    })
}

fn key_of(name: &str) -> Result<ObjectKey, String> {
    let key = name.parse();
    key.map_err(|error| format!("`{name}` is not the name of an object: {error}"))
}

fn nothing_applied(problems: impl AsRef<[String]>) -> Refused {
    let problems = problems.as_ref();
    refused(format!("nothing was applied:\n{}", problems.join("\n")))
}

fn not_asked_for(problem: impl Display) -> Refused {
    refused(format!("nothing was asked for: {problem}"))
}

fn nothing_deleted(problems: impl AsRef<[String]>) -> Refused {
    let problems = problems.as_ref();
    refused(format!("nothing was deleted:\n{}", problems.join("\n")))
}

fn not_changed(what: &str, error: ChangeError) -> Refused {
    match error {
        ChangeError::Rules(problems) => {
            refused(format!("nothing was {what}:\n{}", problems.join("\n")))
        }
        ChangeError::Kept(error) => Refused {
            message: format!("nothing was {what}: {error}"),
            hint: "see the node agent's log and the room on its disk".to_owned(),
        },
    }
}

fn refused(message: impl Into<String>) -> Refused {
    Refused {
        message: message.into(),
        hint: String::new(),
    }
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;

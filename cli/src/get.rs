//! `lanyard get`: the objects of this machine.

use std::io::{self, Write};

use lanyard_access::reason::GrantReason;
use lanyard_protocol::control::{Get, ObjectStatus, Objects, reply::Reply, request::Verb};
use serde_json::Value;
use thiserror::Error;

use crate::{
    args::{GetArgs, ObjectFormat, Place},
    control::{self, ControlError},
    failure::Failure,
    table::Table,
    time_left::time_left,
    yaml,
};

/// Why objects cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum GetError {
    #[error("an object of the node agent is not JSON: {0}")]
    Object(#[from] serde_json::Error),
}

/// Asks for the objects, and prints them.
pub(crate) fn get(place: &Place, args: &GetArgs, out: &mut impl Write) -> Result<(), Failure> {
    let kind = args.kind.map(|kind| kind.to_string());
    let name = args.name.as_ref().map(ToString::to_string);
    let verb = Verb::Get(Get {
        kind: kind.unwrap_or_default(),
        name: name.unwrap_or_default(),
    });
    let Reply::Objects(Objects { objects }) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    match args.format {
        ObjectFormat::Table => write!(out, "{}", table(&objects))?,
        ObjectFormat::Json => {
            let document = whole(&objects, args.name.is_some())?;
            serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        ObjectFormat::Yaml => {
            let mut values = values(&objects)?.into_iter();
            if let Some(first) = values.next() {
                out.write_all(yaml::document(&first).as_bytes())?;
            }
            for value in values {
                write!(out, "---\n{}", yaml::document(&value))?;
            }
        }
    }
    Ok(())
}

fn values(objects: &[ObjectStatus]) -> Result<Vec<Value>, GetError> {
    let values = objects
        .iter()
        .map(|object| serde_json::from_str(&object.json));
    Ok(values.collect::<Result<_, _>>()?)
}

/// One object as it is, several as the list that `kubectl get -o json` prints and `apply` reads.
fn whole(objects: &[ObjectStatus], is_one: bool) -> Result<Value, GetError> {
    let mut values = values(objects)?;
    Ok(match values.pop() {
        Some(value) if is_one && values.is_empty() => value,
        last => {
            values.extend(last);
            serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": values })
        }
    })
}

fn table(objects: &[ObjectStatus]) -> String {
    if objects.is_empty() {
        return "No objects.\n".to_owned();
    }
    let mut table = Table::new(["KIND", "NAME", "STANDING", "LEFT", "ENDS", "FROM"]);
    for object in objects {
        let is_live = object.reason == GrantReason::Active.as_str();
        let left = is_live.then(|| time_left(object.left_millis));
        let from = match object.file.as_str() {
            "" => "lanyard apply",
            file => file,
        };
        table.row([
            object.kind.clone(),
            object.name.clone(),
            or_dash(object.reason.clone()),
            left.unwrap_or_else(|| "-".to_owned()),
            or_dash(object.ends_at.clone()),
            from.to_owned(),
        ]);
    }
    table.to_string()
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

//! `lanyard apply` and `lanyard delete`: objects of this machine.

use std::io::{self, Write};

use lanyard_protocol::control::{Apply, Changed, Delete, ObjectName, reply::Reply, request::Verb};
use serde::Serialize;

use crate::{
    args::{ApplyArgs, DeleteArgs, Format, OutputArgs, Place},
    control::{self, ControlError},
    failure::Failure,
    manifests,
    terminal::printable,
};

/// What became of one object, as programs read it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'a str,
    name: &'a str,
    change: &'a str,
}

/// Writes what the manifests say.
pub(crate) fn apply(place: &Place, args: &ApplyArgs, out: &mut impl Write) -> Result<(), Failure> {
    let manifests = manifests::read(&args.files)?;
    change(place, Verb::Apply(Apply { manifests }), args.output, out)
}

/// Removes the object that was named, or what the manifests write.
pub(crate) fn delete(
    place: &Place,
    args: &DeleteArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let named = args.kind.zip(args.name.as_ref());
    let objects = named.map(|(kind, name)| ObjectName {
        kind: kind.to_string(),
        name: name.to_string(),
    });
    let verb = Verb::Delete(Delete {
        objects: objects.into_iter().collect(),
        manifests: manifests::read(&args.files)?,
    });
    change(place, verb, args.output, out)
}

fn change(
    place: &Place,
    verb: Verb,
    output: OutputArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let Reply::Changed(Changed { objects }) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    let documents = objects.iter().map(|object| Document {
        kind: &object.kind,
        name: &object.name,
        change: &object.change,
    });
    match output.format {
        Format::Json => {
            let documents: Vec<_> = documents.collect();
            serde_json::to_writer(&mut *out, &documents).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Format::Table => {
            for Document { kind, name, change } in documents {
                let (kind, name) = (printable(kind), printable(name));
                writeln!(out, "{kind} {name} {}", printable(change))?;
            }
        }
    }
    Ok(())
}

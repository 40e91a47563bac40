//! `lanyard approve` and `lanyard deny`: an admin's word on what was asked for.

use std::io::Write;

use lanyard_protocol::control::{Decide, Decided, reply::Reply, request::Verb};
use serde::Serialize;

use crate::{
    args::{DecideArgs, Format, Place},
    control::{self, ControlError},
    failure::Failure,
    terminal::printable,
};

/// What was decided, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    grant: &'a str,
    is_approved: bool,
    agent: &'a str,
    opens: &'a str,
    requested_by: &'a str,
}

/// Gives what was asked for.
pub(crate) fn approve(
    place: &Place,
    args: &DecideArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    decide(place, args, true, out)
}

/// Refuses it, so that it is not asked for again.
pub(crate) fn deny(place: &Place, args: &DecideArgs, out: &mut impl Write) -> Result<(), Failure> {
    decide(place, args, false, out)
}

fn decide(
    place: &Place,
    args: &DecideArgs,
    is_approved: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let verb = Verb::Decide(Decide {
        grant: args.grant.to_string(),
        approve: is_approved,
        reason: args.reason.clone(),
    });
    let Reply::Decided(decided) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    let Decided {
        grant,
        agent,
        opens,
        requested_by,
    } = &decided;
    match args.output.format {
        Format::Json => {
            let document = Document {
                grant,
                is_approved,
                agent,
                opens,
                requested_by,
            };
            writeln!(out, "{}", serde_json::json!(document))?;
        }
        Format::Table => {
            let (word, may) = if is_approved {
                ("approved", "may now go")
            } else {
                ("denied", "does not go")
            };
            writeln!(
                out,
                "{word} {}: {} {may} to {}, asked for by {}",
                printable(grant),
                printable(agent),
                printable(opens),
                printable(requested_by),
            )?;
        }
    }
    Ok(())
}

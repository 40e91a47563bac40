//! `lanyard suggest`: the grants that would cover what an observed agent did.

use std::io::{self, Write};

use lanyard_protocol::control::{Suggest, SuggestedGrant, Suggestion, reply::Reply, request::Verb};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    args::{Place, SuggestArgs, SuggestFormat},
    control::{self, ControlError},
    failure::Failure,
    terminal::printable_lines,
};

/// Why suggestions cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum SuggestError {
    #[error("a grant of the node agent is not JSON: {0}")]
    Grant(#[from] serde_json::Error),
}

/// What is suggested, as programs read it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    grants: Vec<Grant<'a>>,
    remarks: &'a [String],
}

#[derive(Debug, Serialize)]
struct Grant<'a> {
    grant: &'a RawValue,
    comment: &'a str,
}

/// Asks what is suggested, and prints it.
pub(crate) fn suggest(
    place: &Place,
    args: &SuggestArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let verb = Verb::Suggest(Suggest {
        agent: args.agent.to_string(),
    });
    let Reply::Suggestion(suggestion) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    match args.format {
        SuggestFormat::Yaml => writeln!(out, "{}", printable_lines(&suggestion.yaml))?,
        SuggestFormat::Json => {
            let document = document(&suggestion)?;
            serde_json::to_writer(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn document(suggestion: &Suggestion) -> Result<Document<'_>, SuggestError> {
    let grants = suggestion
        .grants
        .iter()
        .map(|SuggestedGrant { json, comment }| {
            Ok(Grant {
                grant: serde_json::from_str(json)?,
                comment,
            })
        });
    Ok(Document {
        grants: grants.collect::<Result<_, serde_json::Error>>()?,
        remarks: &suggestion.remarks,
    })
}

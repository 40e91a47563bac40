//! `lanyard revoke`: ends a grant.

use std::io::Write;

use lanyard_protocol::control::{Revoke, Revoked, reply::Reply, request::Verb};
use serde::Serialize;

use crate::{
    args::{Format, Place, RevokeArgs},
    control::{self, ControlError},
    failure::Failure,
    terminal::printable,
};

/// What was done, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    grant: &'a str,
    was_live: bool,
}

/// Revokes, and says whether that ended access.
pub(crate) fn revoke(
    place: &Place,
    args: &RevokeArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let verb = Verb::Revoke(Revoke {
        grant: args.grant.to_string(),
    });
    let Reply::Revoked(Revoked { grant, was_live }) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    match args.output.format {
        Format::Json => {
            let grant = grant.as_str();
            let document = serde_json::json!(Document { grant, was_live });
            writeln!(out, "{document}")?;
        }
        Format::Table => {
            let was = if was_live {
                "it was live until now"
            } else {
                "it gave no access before"
            };
            writeln!(out, "revoked {}: {was}", printable(&grant))?;
        }
    }
    Ok(())
}

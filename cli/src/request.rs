//! `lanyard request`: asks for access.

use std::io::Write;

use lanyard_protocol::control::{Ask, Asked, reply::Reply, request::Verb};
use serde::Serialize;

use crate::{
    args::{Format, ParseTargetError, Place, RequestArgs},
    control::{self, ControlError},
    failure::Failure,
    terminal::printable,
};

/// What is asked for now, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    grant: &'a str,
    is_new: bool,
}

/// Asks, and says who decides.
pub(crate) fn request(
    place: &Place,
    args: &RequestArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let verb = Verb::Ask(ask(args)?);
    let Reply::Asked(Asked { grant, is_new }) = control::ask(place, verb)? else {
        return Err(ControlError::NotUnderstood.into());
    };
    match args.output.format {
        Format::Json => {
            let grant = grant.as_str();
            writeln!(out, "{}", serde_json::json!(Document { grant, is_new }))?;
        }
        Format::Table => {
            let grant = printable(&grant);
            let before = if is_new { "" } else { " before" };
            writeln!(
                out,
                "asked for{before}: AccessGrant {grant}\nAn admin decides: lanyard approve {grant}, or lanyard deny {grant}"
            )?;
        }
    }
    Ok(())
}

fn ask(args: &RequestArgs) -> Result<Ask, ParseTargetError> {
    let target = args.target()?;
    let path = target.path.unwrap_or_default();
    // A query is no part of a rule.
    let path = path.split('?').next().unwrap_or_default();
    Ok(Ask {
        agent: args
            .agent
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        host: target.host.to_string(),
        port: target.port.get().into(),
        protocol: target.protocol.as_str().to_owned(),
        methods: args.methods.clone(),
        path: path.to_owned(),
        credential: args
            .credential
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        allow_private: args.allow_private,
        duration: args.duration.clone(),
        reason: args.reason.clone(),
    })
}

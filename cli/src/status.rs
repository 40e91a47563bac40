//! `lanyard status`: what is enforced now.

mod document;
mod page;
mod watch;

use std::io::{self, Write};

use lanyard_protocol::control::{Status, StatusQuery, reply::Reply, request::Verb};

use crate::{
    args::{Format, Place, StatusArgs},
    control::{self, ControlError},
    failure::Failure,
    version,
};

/// Prints the status.
pub(crate) fn status(
    place: &Place,
    args: &StatusArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    if args.watch {
        return watch::watch(place, args.output, out);
    }
    let status = fetch(place)?;
    if let Some(warning) = version::skew(&status) {
        // A lost warning is not worth a failed command.
        let _ = writeln!(io::stderr(), "{warning}");
    }
    match args.output.format {
        Format::Table => write!(out, "{}", page::Page(&status))?,
        Format::Json => {
            let document = document::Document::from(status);
            serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// Asks the node agent for its status.
pub(crate) fn fetch(place: &Place) -> Result<Status, ControlError> {
    match control::ask(place, Verb::Status(StatusQuery {}))? {
        Reply::Status(status) => Ok(status),
        Reply::Refused(_)
        | Reply::Admitted(_)
        | Reply::Revoked(_)
        | Reply::Explanation(_)
        | Reply::Record(_)
        | Reply::Draining(_)
        | Reply::Changed(_)
        | Reply::Objects(_)
        | Reply::Suggestion(_)
        | Reply::Trusted(_)
        | Reply::Asked(_)
        | Reply::Decided(_)
        | Reply::Done(_) => Err(ControlError::NotUnderstood),
    }
}

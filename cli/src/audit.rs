//! `lanyard audit`: the record of what happened.

mod event;
mod line;

use std::io::Write;

use lanyard_protocol::{
    control::{Tail, reply::Reply, request::Verb},
    record::{FORMAT, Record},
};
use serde::Deserialize;
use thiserror::Error;

use crate::{
    args::{Format, Place, TailArgs},
    control::{Control, ControlError},
    failure::Failure,
};

/// Why a record cannot be shown.
#[derive(Debug, Error)]
pub(crate) enum TailError {
    #[error("a record cannot be read: {0}")]
    Parse(serde_json::Error),
    #[error("a record has format {0}; this lanyard knows format {FORMAT}")]
    OtherFormat(u32),
}

impl TailError {
    /// What to do about it.
    pub(crate) const fn hint(&self) -> &'static str {
        match self {
            Self::Parse(_) | Self::OtherFormat(_) => {
                "use the lanyard of the node agent's version, or `-o json`, which shows records as \
                 they are"
            }
        }
    }
}

/// Prints the last records, and with `--follow` those that come.
pub(crate) fn tail(place: &Place, args: &TailArgs, out: &mut impl Write) -> Result<(), Failure> {
    let mut control = Control::connect(place)?;
    control.ask(Verb::Tail(Tail {
        past: args.lines,
        follow: args.follow,
    }))?;
    loop {
        match control.reply()? {
            Reply::Record(record) => match args.output.format {
                Format::Json => writeln!(out, "{record}")?,
                Format::Table => writeln!(out, "{}", event::line(&parse(&record)?))?,
            },
            Reply::Done(_) => return Ok(()),
            Reply::Refused(_)
            | Reply::Admitted(_)
            | Reply::Status(_)
            | Reply::Revoked(_)
            | Reply::Explanation(_)
            | Reply::Changed(_)
            | Reply::Objects(_)
            | Reply::Suggestion(_)
            | Reply::Trusted(_)
            | Reply::Asked(_)
            | Reply::Decided(_)
            | Reply::Draining(_) => return Err(ControlError::NotUnderstood.into()),
        }
    }
}

/// Reads a record of the one format that is known.
fn parse(line: &str) -> Result<Record, TailError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let Head { format } = serde_json::from_str(line).map_err(TailError::Parse)?;
    if format != FORMAT {
        return Err(TailError::OtherFormat(format));
    }
    serde_json::from_str(line).map_err(TailError::Parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_format_is_refused_by_its_number() {
        let error = parse(r#"{"format":2,"new":"shape"}"#).unwrap_err();
        assert!(matches!(error, TailError::OtherFormat(2)), "{error}");
        let error = parse(r#"{"format":1}"#).unwrap_err();
        assert!(matches!(error, TailError::Parse(_)), "{error}");
    }
}

//! A program in a session of its own, so that closing the terminal does not end it.

use std::{
    convert::Infallible, io, os::unix::process::CommandExt, path::PathBuf, process::Command,
};

use rustix::{io::Errno, process::setsid};
use thiserror::Error;

use crate::args::SessionArgs;

/// Why the program does not run in a session of its own.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("no session can be started: {0}")]
    Start(Errno),
    #[error("{program} cannot be executed: {source}", program = .program.display())]
    Execute { program: PathBuf, source: io::Error },
}

/// Leads a new session and becomes the program; returns only when that fails.
pub(crate) fn enter(args: &SessionArgs) -> Result<Infallible, SessionError> {
    setsid().map_err(SessionError::Start)?;
    // clap demands at least the program.
    let mut words = args.command.iter();
    let program = words.next().cloned().unwrap_or_default();
    let source = Command::new(&program).args(words).exec();
    Err(SessionError::Execute {
        program: program.into(),
        source,
    })
}

//! `lanyard run`: this process becomes the agent.
//!
//! The node agent moves this very process into a scope of its own; what it executes next is
//! attested there. Nothing stays between the command and its terminal.

use std::{convert::Infallible, ffi::OsString, io, os::unix::process::CommandExt, process};

use lanyard_protocol::control::{Admitted, Run, Variable, reply::Reply, request::Verb};
use rustix::{fd::AsFd, io::Errno};
use thiserror::Error;

use crate::{
    args::{Place, RunArgs, search_path},
    command::{self, Command},
    control::{Control, ControlError},
    failure::Failure,
};

/// A scope has one way out, and a proxy is not on it.
const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// Why an admitted process does not become the command.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("no_new_privs cannot be set: {0}")]
    NoNewPrivileges(Errno),
    #[error("the command {path} cannot be executed: {source}")]
    Execute { path: String, source: io::Error },
}

impl RunError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        // The command itself was found before.
        (self.status() == 127).then(|| {
            "the interpreter that its first line names, or the loader that it was linked for, is \
             not there"
                .to_owned()
        })
    }

    /// What shells answer.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::NoNewPrivileges(_) => 1,
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Execute { .. } => 126,
        }
    }
}

/// Becomes the command; returns only when that fails.
pub(crate) fn run(place: &Place, args: &RunArgs) -> Result<Infallible, Failure> {
    // clap demands at least the command.
    let (name, arguments) = args.command.split_first().map_or_else(
        || (OsString::new(), [].as_slice()),
        |(name, arguments)| (name.clone(), arguments),
    );
    let command = command::find(&name, search_path().as_deref())?;
    let admitted = enter_scope(place, args, arguments, &command)?;
    rustix::thread::set_no_new_privs(true).map_err(RunError::NoNewPrivileges)?;
    let mut next = process::Command::new(&command.path);
    next.arg0(&name).args(arguments);
    set_environment(&mut next, admitted.variables);
    // `exec` gives SIGPIPE, which every Rust program starts by ignoring, its default action back.
    let source = next.exec();
    Err(Failure::Run(RunError::Execute {
        path: command.path,
        source,
    }))
}

fn enter_scope(
    place: &Place,
    args: &RunArgs,
    arguments: &[OsString],
    command: &Command,
) -> Result<Admitted, ControlError> {
    let verb = Verb::Run(Run {
        agent: args.agent.to_string(),
        path: command.path.clone(),
        arguments: arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
    });
    let mut control = Control::connect(place)?;
    control.ask_with(verb, command.descriptor.as_fd())?;
    match control.reply()? {
        Reply::Admitted(admitted) => Ok(admitted),
        Reply::Refused(_)
        | Reply::Status(_)
        | Reply::Revoked(_)
        | Reply::Explanation(_)
        | Reply::Record(_)
        | Reply::Draining(_)
        | Reply::Done(_) => Err(ControlError::NotUnderstood),
    }
}

fn set_environment(command: &mut process::Command, variables: Vec<Variable>) {
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
    for Variable { name, value } in variables {
        command.env(name, value);
    }
}

//! `lanyard run`: this process becomes the agent.
//!
//! The node agent moves this very process into a scope of its own; it confines itself there, and
//! what it executes next is attested. Nothing stays between the command and its terminal.

use std::{
    convert::Infallible,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process,
};

use lanyard_protocol::control::{Admitted, Run, Variable, reply::Reply, request::Verb};
use rustix::fd::AsFd;
use thiserror::Error;

use crate::{
    args::{Environment, Place, RunArgs, search_path},
    command::{self, Command},
    confine::{self, Asked, ConfineError, Program, ThirtyTwoBitError},
    control::{Control, ControlError},
    failure::Failure,
    trust,
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
    #[error(transparent)]
    ThirtyTwoBit(#[from] ThirtyTwoBitError),
    #[error(transparent)]
    Confine(#[from] ConfineError),
    #[error("the command {path} cannot be executed: {source}")]
    Execute { path: String, source: io::Error },
}

impl RunError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::ThirtyTwoBit(_) => Some("use a 64-bit build of it".to_owned()),
            Self::Confine(error) => error.hint(),
            // The command itself was found before.
            Self::Execute { .. } => (self.status() == 127).then(|| {
                "the interpreter that its first line names, or the loader that it was linked for, \
                 is not there"
                    .to_owned()
            }),
        }
    }

    /// What shells answer.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Confine(_) => 1,
            Self::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::ThirtyTwoBit(_) | Self::Execute { .. } => 126,
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
    let program = Program::look(Path::new(&command.path)).map_err(RunError::ThirtyTwoBit)?;
    let environment = Environment::read();
    let trusted = trust::of_caller(&environment);
    let admitted = enter_scope(place, args, arguments, &command, trusted)?;
    let socket = place.socket();
    let asked = Asked {
        program: &program,
        allowed_paths: &args.allowed_paths,
        node_folder: socket.parent().unwrap_or(&socket),
        environment: &environment,
    };
    let folders = confine::confine(&admitted, &asked).map_err(RunError::Confine)?;
    let mut next = process::Command::new(&command.path);
    next.arg0(&name).args(arguments);
    set_environment(&mut next, folders, &admitted.variables, &environment);
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
    trusted: String,
) -> Result<Admitted, ControlError> {
    let verb = Verb::Run(Run {
        agent: args.agent.to_string(),
        path: command.path.clone(),
        arguments: arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        trusted,
    });
    let mut control = Control::connect(place)?;
    control.ask_with(verb, command.descriptor.as_fd())?;
    let Reply::Admitted(admitted) = control.reply()? else {
        return Err(ControlError::NotUnderstood);
    };
    Ok(admitted)
}

fn set_environment(
    command: &mut process::Command,
    folders: Vec<(&'static str, PathBuf)>,
    variables: &[Variable],
    environment: &Environment,
) {
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
    command.envs(folders);
    for variable in variables {
        command.env(&variable.name, trust::value_of(variable, environment));
    }
}

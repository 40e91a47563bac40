//! `lanyard up`: starts the node agent of this machine.

mod log;

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use lanyard_protocol::control::Status;
use thiserror::Error;

use self::log::{Log, LogError};
use crate::{
    args::{Place, UpArgs},
    failure::Failure,
    node_agent, status,
    terminal::{printable, printable_lines},
    version,
};

/// What the node agent writes on its standard output when it serves.
const READY: &[u8] = b"ready";

/// Why the node agent does not run detached.
#[derive(Debug, Error)]
pub(crate) enum UpError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the node agent cannot be started: {0}")]
    Start(io::Error),
    #[error("the node agent cannot be waited for: {0}")]
    Wait(io::Error),
    #[error("the node agent ended before it was ready ({status}){said}")]
    Ended { status: ExitStatus, said: String },
}

impl UpError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Ended { .. } => {
                Some("mend what it says; without --detach it says it on the terminal".to_owned())
            }
            Self::Log(error) => error.hint(),
            Self::Start(_) | Self::Wait(_) => None,
        }
    }
}

/// Starts the node agent: in place of this process, or detached.
pub(crate) fn up(place: &Place, args: &UpArgs, out: &mut impl Write) -> Result<(), Failure> {
    node_agent::demand_root("start the node agent")?;
    let arguments = node_agent::local_arguments(place, args)?;
    if !args.detach {
        match node_agent::become_it(arguments)? {}
    }
    let program = node_agent::locate()?;
    let folder = args.kept.folder();
    let log = Log::open(&folder).map_err(UpError::Log)?;
    let mut command = Command::new(env::current_exe().map_err(UpError::Start)?);
    command.args(["session", "--"]).arg(program).args(arguments);
    start(command, &log)?;
    say_ready(place, &folder, out)
}

fn start(mut command: Command, log: &Log) -> Result<(), UpError> {
    let mut child = command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.writer()?)
        .spawn()
        .map_err(UpError::Start)?;
    if became_ready(&mut child).map_err(UpError::Wait)? {
        return Ok(());
    }
    let status = child.wait().map_err(UpError::Wait)?;
    let said = log.last_lines()?;
    Err(UpError::Ended { status, said })
}

/// Reads what the node agent prints until it is ready, or has ended.
fn became_ready(child: &mut Child) -> io::Result<bool> {
    let Some(stdout) = child.stdout.take() else {
        return Ok(false);
    };
    says_ready(stdout)
}

fn says_ready(stdout: impl Read) -> io::Result<bool> {
    for line in BufReader::new(stdout).split(b'\n') {
        if line? == READY {
            return Ok(true);
        }
    }
    Ok(false)
}

fn say_ready(place: &Place, folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let status = status::fetch(place)?;
    for warning in warnings(&status) {
        // A lost warning is not worth a failed command.
        let _ = writeln!(io::stderr(), "{warning}");
    }
    writeln!(
        out,
        "ready: node {}, {}, {}, {}",
        printable(&status.node),
        counted(status.agents.len(), "agent"),
        counted(status.grants.len(), "grant"),
        folder.display()
    )?;
    Ok(())
}

fn warnings(status: &Status) -> Vec<String> {
    let problems = status.problems.iter().map(|problem| {
        let problem = printable_lines(problem.trim_end());
        format!("warning: a manifest was not read: {problem}")
    });
    version::skew(status).into_iter().chain(problems).collect()
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_ready_means_ready() {
        assert!(says_ready(b"loading\nready\n".as_slice()).unwrap());
        for not_ready in ["", "ready: almost\n", "not ready\n", "already"] {
            assert!(!says_ready(not_ready.as_bytes()).unwrap(), "{not_ready:?}");
        }
    }

    #[test]
    fn one_is_not_a_plural() {
        assert_eq!(counted(1, "agent"), "1 agent");
        assert_eq!(counted(0, "grant"), "0 grants");
    }
}

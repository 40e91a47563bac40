//! `lanyard down`: ends enforcement, and waits until it has ended.

use std::{
    io::{self, IsTerminal, Write},
    os::unix::net::UnixStream,
};

use lanyard_protocol::control::{Down, Draining, reply::Reply, request::Verb};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fd::AsFd,
    io::{Errno, retry_on_intr},
};
use signal_hook::{consts::SIGINT, low_level::pipe};
use thiserror::Error;

use crate::{
    args::{DownArgs, Place},
    control::{Control, ControlError},
    failure::Failure,
    node_agent,
};

/// Why enforcement is not known to have ended.
#[derive(Debug, Error)]
pub(crate) enum DownError {
    #[error("Ctrl-C cannot be listened for: {0}")]
    Listen(io::Error),
    #[error("the node agent cannot be waited for: {0}")]
    Wait(Errno),
    #[error("you stopped waiting{}", still(*.0))]
    Interrupted(Option<Draining>),
}

impl DownError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Interrupted(_) => Some(
                "the drain goes on by itself: everything is revoked, and the node agent leaves when \
                 the last process has ended. `lanyard down` waits again, `lanyard down --kill` ends \
                 what still runs"
                    .to_owned(),
            ),
            Self::Listen(_) | Self::Wait(_) => None,
        }
    }
}

/// Ends enforcement, by the node agent that runs or by one that is started for it.
pub(crate) fn down(place: &Place, args: &DownArgs, out: &mut impl Write) -> Result<(), Failure> {
    match Control::connect(place) {
        Ok(control) => drain(control, place, args, out),
        Err(error) if error.is_nobody() => {
            node_agent::demand_root("end what an earlier node agent enforced")?;
            match node_agent::become_it(node_agent::down_arguments(place, args)?)? {}
        }
        Err(error) => Err(error.into()),
    }
}

fn drain(
    mut control: Control,
    place: &Place,
    args: &DownArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let interrupt = listen().map_err(DownError::Listen)?;
    control.ask(Verb::Down(Down { kill: args.kill }))?;
    let mut progress = Progress::new(out, io::stdout().is_terminal());
    loop {
        if is_interrupted(&control, &interrupt).map_err(DownError::Wait)? {
            progress.leave()?;
            return Err(DownError::Interrupted(progress.last).into());
        }
        match control.reply() {
            Ok(Reply::Draining(draining)) => progress.show(draining)?,
            Ok(Reply::Done(_)) => {
                progress.leave()?;
                writeln!(
                    out,
                    "down: nothing is enforced any more on node {}",
                    place.node()
                )?;
                return Ok(());
            }
            Ok(
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
                | Reply::Record(_),
            ) => return Err(ControlError::NotUnderstood.into()),
            Err(error) => {
                progress.leave()?;
                return Err(error.into());
            }
        }
    }
}

/// Ctrl-C as something to be read.
fn listen() -> io::Result<UnixStream> {
    let (interrupt, signalled) = UnixStream::pair()?;
    pipe::register(SIGINT, signalled)?;
    Ok(interrupt)
}

/// Waits for a reply or for Ctrl-C, and says whether it was the latter.
fn is_interrupted(control: &Control, interrupt: &UnixStream) -> Result<bool, Errno> {
    let interrupt = interrupt.as_fd();
    let mut sources = [
        PollFd::from_borrowed_fd(interrupt, PollFlags::IN),
        PollFd::from_borrowed_fd(control.descriptor(), PollFlags::IN),
    ];
    retry_on_intr(|| poll(&mut sources, None))?;
    Ok(!sources[0].revents().is_empty())
}

fn still(draining: Option<Draining>) -> String {
    draining.map_or_else(String::new, |draining| {
        format!(" while {}", running(draining))
    })
}

fn running(draining: Draining) -> String {
    let count = |count: u32, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    format!(
        "{} in {} still run",
        count(draining.processes, "process", "processes"),
        count(draining.scopes, "scope", "scopes")
    )
}

/// What is still waited for: one line that changes on a terminal, else a line for each change.
struct Progress<'a, W> {
    out: &'a mut W,
    is_terminal: bool,
    last: Option<Draining>,
}

impl<'a, W: Write> Progress<'a, W> {
    fn new(out: &'a mut W, is_terminal: bool) -> Self {
        Self {
            out,
            is_terminal,
            last: None,
        }
    }

    fn show(&mut self, draining: Draining) -> io::Result<()> {
        if self.last == Some(draining) {
            return Ok(());
        }
        let text = running(draining);
        self.last = Some(draining);
        if self.is_terminal {
            write!(self.out, "\r\x1b[Kdraining: {text}")?;
        } else {
            writeln!(self.out, "draining: {text}")?;
        }
        self.out.flush()
    }

    /// Frees the line for what follows.
    fn leave(&mut self) -> io::Result<()> {
        if self.is_terminal && self.last.is_some() {
            writeln!(self.out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_terminal: bool) -> String {
        let mut out = Vec::new();
        let mut progress = Progress::new(&mut out, is_terminal);
        for (scopes, processes) in [(2, 3), (2, 3), (1, 1)] {
            progress.show(Draining { scopes, processes }).unwrap();
        }
        progress.leave().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_sees_one_line_that_changes() {
        assert_eq!(
            shown(true),
            "\r\x1b[Kdraining: 3 processes in 2 scopes still run\
             \r\x1b[Kdraining: 1 process in 1 scope still run\n"
        );
    }

    #[test]
    fn a_file_gets_a_line_for_each_change() {
        assert_eq!(
            shown(false),
            "draining: 3 processes in 2 scopes still run\n\
             draining: 1 process in 1 scope still run\n"
        );
    }
}

//! How a verb fails: what a person is told, and the exit status.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anstream::AutoStream;
use thiserror::Error;

use crate::{
    args::ParseTargetError, audit::TailError, command::CommandError, control::ControlError,
    doctor::DoctorError, down::DownError, explain::ExplainError, get::GetError, man::ManError,
    manifests::ManifestsError, node_agent::NodeAgentError, run::RunError, session::SessionError,
    suggest::SuggestError, terminal::printable_lines, trust::TrustError, up::UpError,
};

/// Why a verb is not done.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    NodeAgent(#[from] NodeAgentError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Up(#[from] UpError),
    #[error(transparent)]
    Down(#[from] DownError),
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(transparent)]
    Suggest(#[from] SuggestError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Man(#[from] ManError),
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error(transparent)]
    Target(#[from] ParseTargetError),
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// What to do about it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Control(error) => error.hint(),
            Self::Command(error) => error.hint(),
            Self::Run(error) => error.hint(),
            Self::NodeAgent(error) => error.hint(),
            Self::Up(error) => error.hint(),
            Self::Down(error) => error.hint(),
            Self::Tail(error) => Some(error.hint().to_owned()),
            Self::Session(_)
            | Self::Explain(_)
            | Self::Manifests(_)
            | Self::Get(_)
            | Self::Suggest(_)
            | Self::Trust(_)
            | Self::Man(_)
            | Self::Doctor(_)
            | Self::Target(_)
            | Self::Output(_) => None,
        }
    }

    /// The exit status: what shells answer for a command that cannot be executed, else 1.
    pub(crate) fn status(&self) -> ExitCode {
        match self {
            Self::Command(error) => error.status().into(),
            Self::Run(error) => error.status().into(),
            Self::Control(_)
            | Self::NodeAgent(_)
            | Self::Session(_)
            | Self::Up(_)
            | Self::Down(_)
            | Self::Explain(_)
            | Self::Tail(_)
            | Self::Manifests(_)
            | Self::Get(_)
            | Self::Suggest(_)
            | Self::Trust(_)
            | Self::Man(_)
            | Self::Doctor(_)
            | Self::Target(_)
            | Self::Output(_) => ExitCode::FAILURE,
        }
    }

    /// Tells standard error; in colour only where it is a terminal.
    pub(crate) fn report(&self) {
        let mut stream = AutoStream::auto(io::stderr().lock());
        // With standard error gone, the exit status is all that can be told.
        let _ = stream.write_all(self.text().as_bytes());
    }

    fn text(&self) -> String {
        let mut text = labelled("\x1b[1;31merror:\x1b[0m", &self.to_string());
        if let Some(hint) = self.hint() {
            text += &labelled("\x1b[1;36mhint:\x1b[0m", &hint);
        }
        text
    }
}

fn labelled(label: &str, text: &str) -> String {
    format!("{label} {}\n", printable_lines(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_agent_says_cannot_steer_the_terminal() {
        let failure = Failure::Control(ControlError::Refused {
            message: "no agent \x1b]0;owned\x07".into(),
            hint: "try\nthis".into(),
        });
        let text = anstream::adapter::strip_str(&failure.text()).to_string();
        assert_eq!(
            text,
            "error: no agent \\u{1b}]0;owned\\u{7}\nhint: try\nthis\n"
        );
    }
}

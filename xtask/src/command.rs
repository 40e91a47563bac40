//! Running other programs, with errors that show what was typed and what it answered.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, bail};

/// What a program printed, both streams, and how it ended.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// Standard output followed by standard error.
    pub(crate) text: String,
}

/// Runs to the end and keeps what was printed.
pub(crate) fn capture(command: &mut Command) -> anyhow::Result<Finished> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", typed(command)))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(Finished {
        status: output.status,
        text,
    })
}

/// Standard output of a program that must succeed.
pub(crate) fn stdout_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", typed(command)))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}):\n{}",
            typed(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed text that is not UTF-8", typed(command)))
}

/// Runs a program that must succeed; what it printed is shown only when it does not.
pub(crate) fn quietly(command: &mut Command) -> anyhow::Result<()> {
    let finished = capture(command)?;
    if !finished.status.success() {
        bail!(
            "{} failed ({}):\n{}",
            typed(command),
            finished.status,
            finished.text.trim_end()
        );
    }
    Ok(())
}

/// Runs a program that must succeed and writes to the terminal itself.
pub(crate) fn aloud(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("run {}", typed(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", typed(command));
    }
    Ok(())
}

/// The command as a person would type it.
pub(crate) fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The full path of a program, as a shell would find it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["build", "--config", "profile.release.panic=\"abort\""]);
        assert_eq!(
            typed(&command),
            "cargo build --config 'profile.release.panic=\"abort\"'"
        );
    }

    #[test]
    fn a_failing_command_shows_what_it_printed() {
        let error = quietly(Command::new("sh").args(["-c", "echo why >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("why") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = quietly(&mut Command::new("lanyard-no-such-program")).unwrap_err();
        assert!(format!("{error:#}").contains("lanyard-no-such-program"));
    }
}

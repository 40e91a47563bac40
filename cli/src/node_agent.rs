//! The node agent's program: where it is, and how it is called.

use std::{
    convert::Infallible,
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{self, Path, PathBuf},
    process::Command,
};

use rustix::fs::Access;
use thiserror::Error;

use crate::args::{DownArgs, KeptArgs, Place, UpArgs};

const PROGRAM: &str = "lanyard-node-agent";
const INSTALLED: &str = "/usr/libexec/lanyard";

/// Why the node agent cannot be called.
#[derive(Debug, Error)]
pub(crate) enum NodeAgentError {
    #[error("only root can {0}")]
    NotRoot(&'static str),
    #[error("{PROGRAM} was not found in {places}", places = list(.0))]
    NotFound(Vec<PathBuf>),
    #[error("the own program cannot be found: {0}")]
    Own(io::Error),
    #[error("the current folder cannot be found, from which {path} is named: {source}", path = .path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("{program} cannot be executed: {source}", program = .program.display())]
    Execute { program: PathBuf, source: io::Error },
}

impl NodeAgentError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotRoot(_) => Some("type the same with `sudo` before it".to_owned()),
            Self::NotFound(_) => Some(
                "put it beside the lanyard command, where builds and packages put it".to_owned(),
            ),
            Self::Own(_) | Self::Folder { .. } | Self::Execute { .. } => None,
        }
    }
}

fn list(places: &[PathBuf]) -> String {
    let places: Vec<_> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    places.join(" or ")
}

/// Refuses anyone but root to do `what`.
pub(crate) fn demand_root(what: &'static str) -> Result<(), NodeAgentError> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(NodeAgentError::NotRoot(what))
    }
}

/// The program: beside this one, or else where packages install it.
pub(crate) fn locate() -> Result<PathBuf, NodeAgentError> {
    let own = env::current_exe().map_err(NodeAgentError::Own)?;
    let beside = own.parent().map(Path::to_owned);
    let places: Vec<_> = beside.into_iter().chain([INSTALLED.into()]).collect();
    let programs = places.iter().map(|place| place.join(PROGRAM));
    let found = programs
        .into_iter()
        .find(|program| rustix::fs::access(program, Access::EXEC_OK).is_ok());
    found.ok_or(NodeAgentError::NotFound(places))
}

/// Becomes the node agent; returns only when that fails.
pub(crate) fn become_it(arguments: Vec<OsString>) -> Result<Infallible, NodeAgentError> {
    let program = locate()?;
    let source = Command::new(&program).args(arguments).exec();
    Err(NodeAgentError::Execute { program, source })
}

/// How it is called to enforce. Only what was asked for is passed on: defaults are its own.
pub(crate) fn local_arguments(
    place: &Place,
    args: &UpArgs,
) -> Result<Vec<OsString>, NodeAgentError> {
    let mut arguments = vec!["local".into()];
    push_place(&mut arguments, place)?;
    push_kept(&mut arguments, &args.kept)?;
    push_path(&mut arguments, "--policy", args.policy.as_deref())?;
    for manifest in &args.manifests {
        push_path(&mut arguments, "--manifests", Some(manifest))?;
    }
    Ok(arguments)
}

/// How it is called to end what an earlier one enforced.
pub(crate) fn down_arguments(
    place: &Place,
    args: &DownArgs,
) -> Result<Vec<OsString>, NodeAgentError> {
    let mut arguments = vec!["down".into()];
    push_place(&mut arguments, place)?;
    push_kept(&mut arguments, &args.kept)?;
    if args.kill {
        arguments.push("--kill".into());
    }
    Ok(arguments)
}

fn push_place(arguments: &mut Vec<OsString>, place: &Place) -> Result<(), NodeAgentError> {
    if let Some(node) = &place.node {
        arguments.extend(["--node".into(), node.into()]);
    }
    push_path(arguments, "--run-dir", place.run_dir.as_deref())
}

fn push_kept(arguments: &mut Vec<OsString>, kept: &KeptArgs) -> Result<(), NodeAgentError> {
    push_path(arguments, "--state", kept.state.as_deref())?;
    push_path(arguments, "--attach-root", kept.attach_root.as_deref())
}

/// Paths are passed on in full, for a detached node agent lives in another folder.
fn push_path(
    arguments: &mut Vec<OsString>,
    flag: &str,
    path: Option<&Path>,
) -> Result<(), NodeAgentError> {
    let Some(path) = path else { return Ok(()) };
    let absolute = path::absolute(path).map_err(|source| NodeAgentError::Folder {
        path: path.to_owned(),
        source,
    })?;
    arguments.extend([flag.into(), absolute.into_os_string()]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Verb};

    fn arguments(words: &[&str]) -> Vec<OsString> {
        let cli = Cli::try_parse_from(words).unwrap();
        match cli.verb {
            Some(Verb::Up(args)) => local_arguments(&cli.place, &args).unwrap(),
            Some(Verb::Down(args)) => down_arguments(&cli.place, &args).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_passed_on() {
        assert_eq!(arguments(&["lanyard", "up"]), ["local"]);
        assert_eq!(arguments(&["lanyard", "down"]), ["down"]);
    }

    #[test]
    fn what_was_asked_for_is_passed_on_with_full_paths() {
        let folder = env::current_dir().unwrap();
        let up = [
            "lanyard",
            "up",
            "--node",
            "n",
            "-f",
            "/a",
            "-f",
            "b",
            "--state",
            "/s",
            "--policy",
            "/p",
            "--attach-root",
            "/c",
            "--run-dir",
            "/r",
            "--detach",
        ];
        let relative = folder.join("b");
        let expected = [
            "local",
            "--node",
            "n",
            "--run-dir",
            "/r",
            "--state",
            "/s",
            "--attach-root",
            "/c",
            "--policy",
            "/p",
            "--manifests",
            "/a",
            "--manifests",
            relative.to_str().unwrap(),
        ];
        assert_eq!(arguments(&up), expected);
        let down = ["lanyard", "down", "--kill", "--state", "/s", "--node", "n"];
        assert_eq!(
            arguments(&down),
            ["down", "--node", "n", "--state", "/s", "--kill"]
        );
    }
}

//! `cargo xtask lab`: a Kubernetes on this machine. What does it is a program of `e2e`, where the tests use it too.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;

use crate::artifacts;
use crate::command::aloud;
use crate::context::Context;
use crate::setup::{self, Need};

/// `cargo xtask lab`. From here on it is that program, with the terminal and the exit status.
pub(crate) fn run(context: &Context, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    setup::ready(context, &[Need::Build, Need::Cluster])?;
    // Without naming its package: with the features that every build of ours has, hence nothing to compile again.
    aloud(&mut context.cargo(&["build", "--quiet", "--bin", "lab"]))?;
    let error = program(&artifacts::programs(context))
        .args(arguments)
        .exec();
    Err(error).context("execute the lab's program")
}

/// Builds what a lab is made of, which takes minutes the first time; it says itself what it builds.
pub(crate) fn build(programs: &Path) -> anyhow::Result<()> {
    aloud(program(programs).arg("build").stdout(Stdio::null()))
}

fn program(programs: &Path) -> Command {
    Command::new(programs.join("lab"))
}

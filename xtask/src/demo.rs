//! `cargo xtask demo`: the story, on this machine, scene by scene.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context as _;

use crate::artifacts;
use crate::context::Context;
use crate::kernel_object;
use crate::setup::{self, Need};
use crate::test::Surroundings;

/// `cargo xtask demo`. The demo itself says what went wrong in it.
pub(crate) fn run(context: &Context) -> anyhow::Result<ExitCode> {
    setup::ready(context, &[Need::Build, Need::KernelPrograms, Need::Run])?;
    let object = kernel_object::build(context)?;
    artifacts::build_programs(context, &object)?;
    let programs = artifacts::programs(context);
    let status = command(&Surroundings { object, programs })
        .stdin(Stdio::null())
        .status()
        .context("start the demo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The demo program, told where the others are.
pub(crate) fn command(surroundings: &Surroundings) -> Command {
    let mut command = Command::new(surroundings.programs.join("demo"));
    surroundings.add_to(&mut command);
    command
}

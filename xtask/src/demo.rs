//! `cargo xtask demo`: the story, on this machine, scene by scene.

use std::process::Command;

use crate::artifacts;
use crate::command::aloud;
use crate::context::Context;
use crate::kernel_object;
use crate::setup::{self, Need};
use crate::test::Surroundings;

/// `cargo xtask demo`.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    setup::ready(context, &[Need::Build, Need::KernelPrograms, Need::Run])?;
    let object = kernel_object::build(context)?;
    artifacts::build_programs(context, &object)?;
    aloud(&mut command(&Surroundings {
        object,
        programs: artifacts::programs(context),
    }))
}

/// The demo program, told where the others are.
pub(crate) fn command(surroundings: &Surroundings) -> Command {
    let mut command = Command::new(surroundings.programs.join("demo"));
    surroundings.add_to(&mut command);
    command
}

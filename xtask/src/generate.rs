//! `cargo xtask generate`: writes the generated files again.
//!
//! The tests that prove generated files current also write them, when told to; so there is one
//! piece of code that knows what each file must say.

use std::process::Command;

use crate::command::aloud;
use crate::console::say;
use crate::context::Context;
use crate::setup::{self, Need};

/// A test that writes: its package, its name, and the variable that tells it to.
struct Generator {
    package: &'static str,
    test: &'static str,
    variable: &'static str,
    writes: &'static str,
}

const GENERATORS: &[Generator] = &[
    Generator {
        package: "lanyard-crds",
        test: "generated",
        variable: "UPDATE_MANIFESTS",
        writes: "the CRDs and the API reference",
    },
    Generator {
        package: "lanyard",
        test: "help",
        variable: "UPDATE_GOLDEN",
        writes: "the help texts of the lanyard command",
    },
];

/// `cargo xtask generate`.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    setup::ready(context, &[Need::Build])?;
    for generator in GENERATORS {
        say(&format!("… writing {}", generator.writes));
        let arguments = [
            "test",
            "--package",
            generator.package,
            "--test",
            generator.test,
        ];
        aloud(context.cargo(&arguments).env(generator.variable, "1"))?;
    }
    say("✓ generated files are written: `git diff` shows what changed");
    Ok(())
}

/// Makes tests compare, whatever the shell they are started from says.
pub(crate) fn only_compare(command: &mut Command) {
    for generator in GENERATORS {
        command.env_remove(generator.variable);
    }
}

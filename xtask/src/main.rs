//! `cargo xtask VERB`: every verb a person or CI needs, each doing its own set-up.

mod artifacts;
mod bench;
mod bpf_toolchain;
mod command;
mod console;
mod context;
mod counts;
mod demo;
mod generate;
mod images;
mod kernel_object;
mod lab;
mod lint;
mod metadata;
mod setup;
mod test;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Environment};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let context = Context::new(args.environment)?;
    match args.verb {
        Verb::Setup => setup::run(&context)?,
        Verb::Demo => return demo::run(&context),
        Verb::Test => return Ok(test::run(&context)),
        Verb::Lint => return Ok(lint::run(&context)),
        Verb::Generate => generate::run(&context)?,
        Verb::Images(arguments) => images::run(&context, &arguments)?,
        Verb::Bench { names } => bench::run(&context, &names)?,
        Verb::Lab { arguments } => return lab::run(&context, &arguments),
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Build, try and check Lanyard"
)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    environment: Environment,
}

#[derive(Clone, Subcommand)]
enum Verb {
    /// Install what the other verbs need, and build the kernel programs
    Setup,
    /// Show Lanyard at work on this machine: the story, scene by scene
    Demo,
    /// Run every test this machine can run, and say which it cannot
    Test,
    /// Check form and structure: formatting, clippy, import arrows, dead files, licences, docs
    Lint,
    /// Write the generated files again
    Generate,
    /// Measure, and write the figures to docs/benchmarks.md
    Bench {
        /// Which benches, by the beginning of their names; all without any
        names: Vec<String>,
    },
    /// Make the container images, as files, and list what is in them
    Images(images::Arguments),
    /// Bring up a Kubernetes on this machine, use it, and take it away: `cargo xtask lab help`
    #[command(disable_help_flag = true)]
    Lab {
        /// What to do with it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<OsString>,
    },
}

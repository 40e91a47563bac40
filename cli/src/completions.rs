//! `lanyard completions`: the script that completes this command in a shell.

use std::io::Write;

use clap::{Command, CommandFactory};

use crate::{
    args::{Cli, CompletionsArgs},
    failure::Failure,
};

/// Prints the script.
pub(crate) fn print(args: &CompletionsArgs, out: &mut impl Write) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), "lanyard", &mut script);
    Ok(out.write_all(&script)?)
}

/// The command without verbs that are not meant to be typed, which `clap_complete` would offer.
fn visible() -> Command {
    let all = Cli::command();
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set());
    Command::new("lanyard")
        .disable_version_flag(true)
        .args(all.get_arguments().cloned())
        .subcommands(verbs.cloned())
}

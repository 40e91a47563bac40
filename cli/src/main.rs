//! The `lanyard` command.

mod args;
mod audit;
mod command;
mod completions;
mod control;
mod down;
mod explain;
mod failure;
mod node_agent;
mod revoke;
mod run;
mod session;
mod status;
mod table;
mod terminal;
mod up;
mod version;

use std::{io, process::ExitCode};

use crate::{
    args::{AuditVerb, Cli, Verb},
    failure::Failure,
};

fn main() -> ExitCode {
    match perform(&Cli::read()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has read enough (`lanyard audit tail | head`).
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.report();
            failure.status()
        }
    }
}

fn perform(cli: &Cli) -> Result<(), Failure> {
    let place = &cli.place;
    let out = &mut io::stdout().lock();
    let Some(verb) = &cli.verb else {
        return version::print(place, out);
    };
    match verb {
        Verb::Up(args) => up::up(place, args, out),
        Verb::Down(args) => down::down(place, args, out),
        Verb::Run(args) => match run::run(place, args)? {},
        Verb::Status(args) => status::status(place, args.output, out),
        Verb::Revoke(args) => revoke::revoke(place, args, out),
        Verb::Explain(args) => explain::explain(place, args, out),
        Verb::Audit { verb } => match verb {
            AuditVerb::Tail(args) => audit::tail(place, args, out),
        },
        Verb::Completions(args) => completions::print(args, out),
        Verb::Session(args) => match session::enter(args)? {},
    }
}

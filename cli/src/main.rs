//! The `lanyard` command.

mod args;
mod audit;
mod command;
mod completions;
mod confine;
mod control;
mod decide;
mod doctor;
mod down;
mod explain;
mod failure;
mod get;
mod kind;
mod man;
mod manifests;
mod node_agent;
mod objects;
mod request;
mod revoke;
mod run;
mod session;
mod status;
mod suggest;
mod table;
mod terminal;
mod time_left;
mod trust;
mod up;
mod version;
mod yaml;

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
        Verb::Apply(args) => objects::apply(place, args, out),
        Verb::Get(args) => get::get(place, args, out),
        Verb::Delete(args) => objects::delete(place, args, out),
        Verb::Status(args) => status::status(place, args, out),
        Verb::Suggest(args) => suggest::suggest(place, args, out),
        Verb::Doctor(args) => doctor::doctor(place, args, out),
        Verb::Man(args) => Ok(man::write(args)?),
        Verb::Request(args) => request::request(place, args, out),
        Verb::Approve(args) => decide::approve(place, args, out),
        Verb::Deny(args) => decide::deny(place, args, out),
        Verb::Revoke(args) => revoke::revoke(place, args, out),
        Verb::Trust(args) => trust::trust(place, args, out),
        Verb::Explain(args) => explain::explain(place, args, out),
        Verb::Audit { verb } => match verb {
            AuditVerb::Tail(args) => audit::tail(place, args, out),
        },
        Verb::Completions(args) => completions::print(args, out),
        Verb::Session(args) => match session::enter(args)? {},
    }
}

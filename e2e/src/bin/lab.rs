//! `cargo xtask lab`: a Kubernetes on this machine, for a person.

use std::{
    ffi::OsString,
    io::{ErrorKind, Write as _},
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use lanyard_e2e::cluster::{
    Cluster, Place, Progress, Settings, State, Status,
    tool::{self, Tool},
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Parser)]
#[command(
    name = "lab",
    bin_name = "cargo xtask lab",
    about = "A Kubernetes on this machine, without Docker and without a registry"
)]
struct Arguments {
    /// Which lab, where there are several on one machine
    #[arg(long, global = true, default_value_t = 0, env = "LANYARD_LAB")]
    number: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring it up; what is already as it should be stays as it is
    Up {
        /// Nodes that run pods
        #[arg(long, default_value_t = Settings::default().nodes)]
        nodes: u8,
        /// Nodes that are only objects, for scale
        #[arg(long, default_value_t = Settings::default().fake_nodes)]
        fake_nodes: u32,
    },
    /// End all of it, and remove what it left
    Down {
        /// Kill pods instead of asking them to end
        #[arg(long)]
        fast: bool,
    },
    /// Say what of it is there
    Status {
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Build its programs, or those that are named
    Build { names: Vec<String> },
    /// kubectl, as its administrator
    Kubectl(Passed),
    /// helm, as its administrator
    Helm(Passed),
    /// ctr, among the images and containers of a node's pods
    Ctr {
        #[arg(long, default_value_t = 1)]
        node: u8,
        #[command(flatten)]
        passed: Passed,
    },
    /// A command in the namespaces of a node
    In {
        #[arg(long, default_value_t = 1)]
        node: u8,
        program: OsString,
        #[command(flatten)]
        passed: Passed,
    },
    /// Print what to type so that other clients find it
    Kubeconfig,
}

/// What goes to another program as it is.
#[derive(Args)]
#[command(disable_help_flag = true)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let place = Place::numbered(arguments.number)?;
    let progress = Progress::start();
    match arguments.verb {
        Verb::Up { nodes, fake_nodes } => {
            let settings = Settings { nodes, fake_nodes };
            let cluster = Cluster::up_at(place, settings, &progress)?;
            progress.done("the lab is up");
            say_where(&cluster)?;
        }
        Verb::Down { fast } => Cluster::down(place, !fast, &progress)?,
        Verb::Status { output } => return show(&Cluster::status(place)?, output),
        Verb::Build { names } => {
            let named: Vec<&Tool> = names
                .iter()
                .map(|name| Tool::named(name))
                .collect::<Result<_>>()?;
            let tools = if named.is_empty() {
                &tool::OF_EVERY_LAB[..]
            } else {
                &named
            };
            for program in tool::ready(tools, &progress)? {
                say(&format!("{}\n", program.path().display()))?;
            }
        }
        Verb::Kubectl(passed) => return become_other(Cluster::at(place)?.kubectl(), passed),
        Verb::Helm(passed) => return become_other(Cluster::at(place)?.helm(), passed),
        Verb::Ctr { node, passed } => return become_other(Cluster::at(place)?.ctr(node)?, passed),
        Verb::In {
            node,
            program,
            passed,
        } => {
            return become_other(Cluster::at(place)?.in_node(node, &program)?, passed);
        }
        Verb::Kubeconfig => say_where(&Cluster::at(place)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What to type for other clients.
fn say_where(cluster: &Cluster) -> Result<()> {
    say(&format!("export KUBECONFIG={}\n", cluster.kubeconfig()))
}

/// Its terminal, signals and exit status are the program's from here on.
fn become_other(mut command: Command, passed: Passed) -> Result<ExitCode> {
    let error = command.args(passed.arguments).exec();
    Err(error).with_context(|| format!("execute {}", command.get_program().display()))
}

/// Whoever reads it may have seen enough before its end.
fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("write to standard output"),
    }
}

fn show(status: &Status, output: Output) -> Result<ExitCode> {
    say(&match output {
        Output::Json => serde_json::to_string_pretty(status)? + "\n",
        Output::Table => status.to_string(),
    })?;
    Ok(match status.state {
        State::Up | State::Down => ExitCode::SUCCESS,
        State::Broken | State::LeftBehind => ExitCode::FAILURE,
    })
}

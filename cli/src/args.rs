//! What can be typed, and the environment that stands in for it. Nothing else reads the environment.

mod environment;
mod explain;
mod objects;
mod place;
mod requests;

use std::{env, ffi::OsString, path::PathBuf};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum, builder::BoolishValueParser,
    error::ErrorKind,
};
use lanyard_access::object::ObjectKey;

pub(crate) use self::{
    environment::Environment,
    explain::{ExplainArgs, ParseTargetError, Target, What},
    objects::{ApplyArgs, DeleteArgs, GetArgs, ObjectFormat, SuggestArgs, SuggestFormat},
    place::{KeptArgs, Place},
    requests::{DecideArgs, RequestArgs},
};

/// Gives each agent that runs on this machine its own identity, and exactly the access that is
/// granted to it.
#[derive(Debug, Parser)]
#[command(
    name = "lanyard",
    max_term_width = 100,
    disable_version_flag = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 refused or failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,

    /// Print the versions of this command, the protocol, the API and the kernel maps
    #[arg(short = 'V', long)]
    pub(crate) version: bool,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

impl Cli {
    /// Reads the command line; what cannot be understood ends the process with status 2.
    pub(crate) fn read() -> Self {
        Self::try_parse()
            .and_then(Self::complete)
            .unwrap_or_else(|error| error.exit())
    }

    fn complete(self) -> Result<Self, clap::Error> {
        if self.verb.is_some() || self.version {
            return Ok(self);
        }
        let message = "nothing to do: a command is missing";
        Err(Self::command().error(ErrorKind::MissingSubcommand, message))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start enforcing the manifests on this machine (root)
    Up(UpArgs),
    /// End enforcement: revoke all, wait until no agent runs, and remove it (root)
    Down(DownArgs),
    /// Run a command as an agent
    Run(RunArgs),
    /// Write agents, grants and credential sources of this machine (root, admins)
    Apply(ApplyArgs),
    /// Show the objects of this machine
    Get(GetArgs),
    /// Remove what was applied; what a grant gave ends at once (root, admins)
    Delete(DeleteArgs),
    /// Show agents, running processes and their evidence, and grants with the time left
    Status(StatusArgs),
    /// Print the grants that would cover what an agent was seen to do, as YAML
    Suggest(SuggestArgs),
    /// Ask for access; an admin decides
    Request(RequestArgs),
    /// Give what was asked for (root, admins)
    Approve(DecideArgs),
    /// Refuse what was asked for (root, admins)
    Deny(DecideArgs),
    /// End a grant at once, and everything that is open because of it
    Revoke(RevokeArgs),
    /// Say why something was or would be refused, and which YAML would allow it
    Explain(ExplainArgs),
    /// Print what the programs of a scope trust (within it)
    Trust(TrustArgs),
    /// Read the record of what happened
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Say what this machine offers, what stays open on it, and what to do
    Doctor(DoctorArgs),
    /// Print a script that completes `lanyard` in a shell
    Completions(CompletionsArgs),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(ManArgs),
    /// Execute a program as the leader of a session of its own
    #[command(hide = true)]
    Session(SessionArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
`lanyard run` sets all of it for what it starts. A client with roots of its own, built in or in a file that only \
it reads, has to be given the bundle: `lanyard trust --pem > bundle.pem`.

Examples:
  eval \"$(lanyard trust)\"
  keytool -importcert ... < <(lanyard trust --pem)")]
pub(crate) struct TrustArgs {
    /// Print the certificates themselves (PEM)
    #[arg(long, env = "LANYARD_PEM")]
    pub(crate) pem: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A changed manifest is in force within a second. One that cannot be read is told with file, line and \
column, by `lanyard status` too, and what was good before stays in force, also over a start. Only a \
first start, with nothing in force before, fails because of it. What was written with `lanyard \
apply` is in force beside the manifests.")]
pub(crate) struct UpArgs {
    /// A manifest, or a folder of manifests; may be given more than once (the variable names one)
    #[arg(
        short = 'f',
        long,
        value_name = "FILE_OR_DIR",
        env = "LANYARD_MANIFESTS",
        hide_env_values = true
    )]
    pub(crate) manifests: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) kept: KeptArgs,

    /// The policy of this machine: who may use which agent [default: /etc/lanyard/local.yaml]
    #[arg(
        long,
        value_name = "FILE",
        env = "LANYARD_POLICY",
        hide_env_values = true
    )]
    pub(crate) policy: Option<PathBuf>,

    /// Return when the node agent serves, and leave it running
    #[arg(
        long,
        env = "LANYARD_DETACH",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) detach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// End what still runs in scopes, instead of waiting for it
    #[arg(long)]
    pub(crate) kill: bool,

    #[command(flatten)]
    pub(crate) kept: KeptArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The command keeps your user, terminal, folder and signals, and its exit status is its own. \
126 means that it cannot be executed, 127 that it was not found.

It may write in the current folder and nowhere else: programs of the system and most of your home \
folder can be read, but not its start-up files, credentials and what other programs keep of you.

Example: lanyard run --as deploy-bot -- curl https://api.example.com/")]
pub(crate) struct RunArgs {
    /// The AgentIdentity to run as; you must be among its allowedUsers
    #[arg(
        long = "as",
        value_name = "[NAMESPACE/]NAME",
        env = "LANYARD_AS",
        hide_env_values = true
    )]
    pub(crate) agent: ObjectKey,

    /// What the command may read and write beside the current folder; may be given more than once
    /// (the variable names one)
    #[arg(
        long = "allow-path",
        value_name = "PATH",
        env = "LANYARD_ALLOW_PATH",
        hide_env_values = true
    )]
    pub(crate) allowed_paths: Vec<PathBuf>,

    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_names = ["CMD", "ARG"]
    )]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
With --watch a terminal is drawn anew each second; anywhere else a status is printed whenever \
something changed but the time left, with -o json one object a line.")]
pub(crate) struct StatusArgs {
    /// Go on, until interrupted
    #[arg(
        long,
        env = "LANYARD_WATCH",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) watch: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Exit status 1 when something is missing without which nothing is enforced. Run it as root to see \
all; it works with and without a node agent.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder; it must exist
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The AccessGrant
    #[arg(value_name = "[NAMESPACE/]GRANT")]
    pub(crate) grant: ObjectKey,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Show the last records, one a line
    Tail(TailArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// How many records to begin with
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 10,
        env = "LANYARD_LINES",
        hide_env_values = true
    )]
    pub(crate) lines: u32,

    /// Go on with records as they are written
    #[arg(
        long,
        env = "LANYARD_FOLLOW",
        hide_env_values = true,
        value_parser = BoolishValueParser::new()
    )]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// Print for people or for programs
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t = Format::Table,
        env = "LANYARD_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) format: Format,
}

/// Who reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// The folders in which commands are searched.
pub(crate) fn search_path() -> Option<OsString> {
    env::var_os("PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These choose what is done; from the environment they would surprise.
    const NOT_FROM_ENVIRONMENT: [&str; 11] = [
        "help",
        "version",
        "kill",
        "last",
        "files",
        "would",
        "method",
        "for",
        "reason",
        "credential",
        "allow_private",
    ];

    fn assert_flags_have_variables(command: &clap::Command) {
        for argument in command.get_arguments().filter(|a| !a.is_positional()) {
            let id = argument.get_id().as_str();
            let named = argument
                .get_env()
                .is_some_and(|name| name.to_string_lossy().starts_with("LANYARD_"));
            assert!(
                named || NOT_FROM_ENVIRONMENT.contains(&id),
                "--{id} of `{}` has no variable",
                command.get_name()
            );
        }
        command
            .get_subcommands()
            .for_each(assert_flags_have_variables);
    }

    #[test]
    fn every_flag_is_also_an_environment_variable() {
        assert_flags_have_variables(&Cli::command());
    }

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    fn run_args(words: &[&str]) -> Result<RunArgs, clap::Error> {
        match Cli::try_parse_from(words)?.verb {
            Some(Verb::Run(args)) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_after_the_command_are_the_commands_own() {
        let words = [
            "lanyard", "run", "--as", "bot", "curl", "--node", "x", "-o", "--help",
        ];
        let args = run_args(&words).unwrap();
        assert_eq!(
            args.command,
            words[4..].iter().map(OsString::from).collect::<Vec<_>>()
        );
        assert_eq!(args.agent.to_string(), "default/bot");
        let words = ["lanyard", "run", "--as", "a/bot", "--", "-odd", "--as"];
        assert_eq!(run_args(&words).unwrap().command, ["-odd", "--as"]);
    }

    #[test]
    fn an_unknown_flag_before_the_command_is_refused() {
        assert!(run_args(&["lanyard", "run", "--as", "bot", "--us", "curl"]).is_err());
    }

    #[test]
    fn a_node_name_cannot_leave_its_folder() {
        for bad in ["..", "a/b", "", "/"] {
            assert!(
                Cli::try_parse_from(["lanyard", "--node", bad, "status"]).is_err(),
                "{bad:?} was accepted"
            );
        }
    }

    #[test]
    fn a_verb_or_the_version_is_needed() {
        let parse = |words: &[&str]| Cli::try_parse_from(words).and_then(Cli::complete);
        assert!(parse(&["lanyard", "--node", "x"]).is_err());
        assert!(parse(&["lanyard", "--version"]).unwrap().version);
    }
}

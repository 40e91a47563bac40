//! What the verbs about objects are given.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lanyard_access::object::ObjectKey;

use super::OutputArgs;
use crate::kind::Kind;

#[derive(Debug, Args)]
#[command(after_help = "\
Either all objects are written, or none. What is written outlives the node agent and the machine. \
An object that a file of `lanyard up -f` writes is changed in that file.

Example: lanyard suggest --as deploy-bot | lanyard apply -f -")]
pub(crate) struct ApplyArgs {
    /// A manifest, a folder of manifests, or `-` for standard input; may be given more than once
    #[arg(
        id = "files",
        short = 'f',
        long = "filename",
        value_name = "FILE_OR_DIR",
        required = true
    )]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Kinds: AgentIdentity (agid), AccessGrant (agrant), CredentialSource (credsrc).

Root and admins see everything, others what is about agents that they may run.")]
pub(crate) struct GetArgs {
    /// The kind; every kind without it
    #[arg(value_name = "KIND")]
    pub(crate) kind: Option<Kind>,

    /// The object
    #[arg(value_name = "[NAMESPACE/]NAME")]
    pub(crate) name: Option<ObjectKey>,

    /// Print for people, or the whole objects with their status
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t = ObjectFormat::Table,
        env = "LANYARD_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) format: ObjectFormat,
}

/// How objects are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectFormat {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Either all objects are removed, or none.

Example: lanyard delete AccessGrant deploy-bot-api")]
pub(crate) struct DeleteArgs {
    /// The kind
    #[arg(
        value_name = "KIND",
        requires = "name",
        required_unless_present = "files",
        conflicts_with = "files"
    )]
    pub(crate) kind: Option<Kind>,

    /// The object
    #[arg(value_name = "[NAMESPACE/]NAME")]
    pub(crate) name: Option<ObjectKey>,

    /// What these manifests write: files, folders, or `-` for standard input
    #[arg(
        id = "files",
        short = 'f',
        long = "filename",
        value_name = "FILE_OR_DIR"
    )]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What an agent does is remembered while its AgentIdentity says `enforcement: Observe`.

Example: lanyard suggest --as deploy-bot >grants.yaml && lanyard apply -f grants.yaml")]
pub(crate) struct SuggestArgs {
    /// The agent
    #[arg(
        long = "as",
        value_name = "[NAMESPACE/]NAME",
        env = "LANYARD_AS",
        hide_env_values = true
    )]
    pub(crate) agent: ObjectKey,

    /// Print manifests, or what programs read
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        value_enum,
        default_value_t = SuggestFormat::Yaml,
        env = "LANYARD_OUTPUT",
        hide_env_values = true
    )]
    pub(crate) format: SuggestFormat,
}

/// How suggestions are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SuggestFormat {
    /// Documents for `apply`; `LANYARD_OUTPUT` may say `table` for all verbs.
    #[value(alias = "table", help = None)]
    Yaml,
    Json,
}

//! The command line, and what it means.

use std::path::PathBuf;

use clap::Args;
#[cfg(feature = "local")]
use clap::{Parser, Subcommand};

/// The node agent of Lanyard: attests processes, owns the kernel maps, runs the brokers.
#[cfg(feature = "local")]
#[derive(Debug, Parser)]
#[command(name = "lanyard-node-agent", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What a node agent is started for.
#[cfg(feature = "local")]
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Enforces on this machine from files, without a cluster
    Local(Local),
    /// Ends what an earlier node agent enforced on this machine
    Down(Down),
}

/// Where things are.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Name of this node: two of them on one machine do not meet
    #[arg(long, env = "LANYARD_NODE", default_value = "local", value_parser = parse_node)]
    pub node: String,
    /// Folder for sockets, bundles and what else ends with a restart of the machine
    #[arg(long, env = "LANYARD_RUN_DIR", default_value = "/run/lanyard")]
    pub run_dir: PathBuf,
    /// Folder for what is kept: records, the roots of scopes, the past of grants
    #[arg(long, env = "LANYARD_STATE", default_value = "/var/lib/lanyard")]
    pub state: PathBuf,
    /// Cgroup v2 folder below which it enforces; found by itself when left out
    #[arg(long, env = "LANYARD_ATTACH_ROOT")]
    pub attach_root: Option<PathBuf>,
    /// What is logged: a level, or parts with levels
    #[arg(long, env = "LANYARD_LOG", default_value = "info")]
    pub log: String,
}

/// Enforces from files.
#[cfg(feature = "local")]
#[derive(Debug, Clone, Args)]
pub struct Local {
    /// Where things are.
    #[command(flatten)]
    pub place: Place,
    /// Who may run what, and where secrets are; must be root's own. No file: root only
    #[arg(
        long,
        env = "LANYARD_POLICY",
        default_value = "/etc/lanyard/local.yaml"
    )]
    pub policy: PathBuf,
    /// A manifest, or a folder of them; may be given again
    #[arg(long)]
    pub manifests: Vec<PathBuf>,
}

/// Ends enforcement.
#[cfg(feature = "local")]
#[derive(Debug, Clone, Args)]
pub struct Down {
    /// Where things are.
    #[command(flatten)]
    pub place: Place,
    /// End what still runs, instead of waiting for it
    #[arg(long)]
    pub kill: bool,
}

/// A node's name is part of paths.
fn parse_node(text: &str) -> Result<String, String> {
    let name: Result<lanyard_access::object::Namespace, _> = text.parse();
    name.map(String::from).map_err(|error| error.to_string())
}

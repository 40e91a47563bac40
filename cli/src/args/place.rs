//! Which node agent is meant, and where its things are.

use std::path::PathBuf;

use clap::Args;
use lanyard_access::object::{Namespace, ParseNameError};

/// Where the node agent keeps its state, unless it is told otherwise.
const DEFAULT_STATE: &str = "/var/lib/lanyard";

/// Flags that every verb has stand behind its own.
const LAST: usize = 100;

/// Which node agent is spoken to.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// The node whose agent is spoken to [default: local]
    #[arg(
        long,
        global = true,
        display_order = LAST,
        env = "LANYARD_NODE",
        hide_env_values = true,
        value_parser = parse_node
    )]
    pub(crate) node: Option<String>,

    /// The folder of the sockets of all nodes [default: /run/lanyard]
    #[arg(
        long,
        global = true,
        display_order = LAST,
        value_name = "DIR",
        env = "LANYARD_RUN_DIR",
        hide_env_values = true
    )]
    pub(crate) run_dir: Option<PathBuf>,
}

impl Place {
    /// The name of the node.
    pub(crate) fn node(&self) -> &str {
        self.node.as_deref().unwrap_or("local")
    }

    /// The socket on which its agent answers.
    pub(crate) fn socket(&self) -> PathBuf {
        let folder = self.run_dir.clone();
        folder
            .unwrap_or_else(|| PathBuf::from("/run/lanyard"))
            .join(self.node())
            .join("control.sock")
    }
}

/// A node's name is part of paths, and one label like a namespace's.
fn parse_node(text: &str) -> Result<String, ParseNameError> {
    text.parse::<Namespace>().map(String::from)
}

/// Where a node agent keeps what outlives it.
#[derive(Debug, Args)]
pub(crate) struct KeptArgs {
    /// Where the node agent keeps its state [default: /var/lib/lanyard]
    #[arg(
        long,
        value_name = "DIR",
        env = "LANYARD_STATE",
        hide_env_values = true
    )]
    pub(crate) state: Option<PathBuf>,

    /// The cgroup below which scopes are made [default: the root of cgroup v2]
    #[arg(
        long,
        value_name = "DIR",
        env = "LANYARD_ATTACH_ROOT",
        hide_env_values = true
    )]
    pub(crate) attach_root: Option<PathBuf>,
}

impl KeptArgs {
    /// The folder of the state.
    pub(crate) fn folder(&self) -> PathBuf {
        let given = self.state.clone();
        given.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE))
    }
}

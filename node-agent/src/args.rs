//! The command line, and what it means.

use std::path::PathBuf;

use clap::Args;
use clap::{Parser, Subcommand};

/// The node agent of Lanyard: attests processes, owns the kernel maps, runs the brokers.
#[derive(Debug, Parser)]
#[command(name = "lanyard-node-agent", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What a node agent is started for.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Enforces on this machine from files, without a cluster
    #[cfg(feature = "local")]
    Local(Local),
    /// Ends what an earlier node agent enforced on this machine
    #[cfg(feature = "local")]
    Down(Down),
    /// Enforces on a node of a Kubernetes cluster
    Cluster(Cluster),
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

/// Enforces on a node of a cluster.
#[derive(Debug, Clone, Args)]
pub struct Cluster {
    /// Where things are.
    #[command(flatten)]
    pub place: Place,
    /// The folder of the node's kubelet
    #[arg(long, default_value = "/var/lib/kubelet")]
    pub kubelet_dir: PathBuf,
    /// The cgroup below which the kubelet makes those of pods (its setting `cgroupRoot`), in the hierarchy of version 2
    #[arg(long, default_value = "/")]
    pub kubelet_cgroup_root: PathBuf,
    /// Where the operator serves nodes
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://lanyard-operator.lanyard-system.svc:8443"
    )]
    pub operator: http::Uri,
    /// Folder with the certificate of this node (`tls.crt`), its key (`tls.key`) and the certificates it trusts (`ca.crt`);
    /// read anew for each connection
    #[arg(long, default_value = "/var/run/secrets/lanyard/tls")]
    pub tls_dir: PathBuf,
    /// The domain of trust that the identities of this cluster are in
    #[arg(long)]
    pub trust_domain: lanyard_access::spiffe_id::TrustDomain,
    /// How many seconds grants hold while the operator is not heard
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(30..=86_400))]
    pub max_staleness: u64,
    /// The program that brokers of pods run: another content is refused
    #[arg(long, default_value = "/usr/bin/lanyard-broker")]
    pub broker: PathBuf,
    /// The SHA-256 of a broker of an earlier version that pods may still run; may be given again
    #[arg(long, value_name = "HEX")]
    pub accept_broker: Vec<lanyard_access::digest::Sha256Digest>,
}

/// A node's name is part of paths.
fn parse_node(text: &str) -> Result<String, String> {
    let name: Result<lanyard_access::object::ObjectName, _> = text.parse();
    name.map(String::from).map_err(|error| error.to_string())
}

//! What the operator is told when it starts.

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use lanyard_access::{
    object::{Namespace, ObjectName},
    spiffe_id::TrustDomain,
};

/// Reconciles Lanyard's objects and tells each node what its pods need.
#[derive(Debug, Clone, Parser)]
#[command(name = "lanyard-operator", version)]
pub struct Args {
    /// The trust domain of nodes and agents
    #[arg(long, env = "LANYARD_TRUST_DOMAIN")]
    pub trust_domain: TrustDomain,
    /// The namespace that the operator runs in; its Lease stands there
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Namespace,
    /// The name of this replica
    #[arg(long, env = "POD_NAME")]
    pub name: ObjectName,
    /// The Lease by which one replica leads
    #[arg(long, default_value = "lanyard-operator")]
    pub lease: ObjectName,
    /// Where nodes are served
    #[arg(long, default_value = "0.0.0.0:8443")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, default_value = "0.0.0.0:8081")]
    pub health: SocketAddr,
    /// The folder with tls.crt and tls.key, read anew when they change
    #[arg(long, default_value = "/etc/lanyard/tls")]
    pub tls_dir: PathBuf,
    /// The PEM file with the authorities that vouch for nodes, read anew when it changes
    #[arg(long, default_value = "/etc/lanyard/trust/ca.crt")]
    pub trust_bundle: PathBuf,
    /// What is logged: a level, or parts with levels
    #[arg(long, env = "LANYARD_LOG", default_value = "info")]
    pub log: String,
}

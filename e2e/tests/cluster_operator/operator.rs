//! One replica of the operator, as a process of this machine.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command},
};

use lanyard_e2e::{cluster::Cluster, lanyard::built, wait};
use tempfile::TempDir;

use crate::{PATIENCE, node::Authority};

pub(crate) struct Operator {
    process: Child,
    /// Where it serves nodes.
    pub(crate) nodes: SocketAddr,
    _files: TempDir,
}

impl Operator {
    pub(crate) fn start(cluster: &Cluster, authority: &Authority, name: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.issue_server();
        fs::write(files.path().join("tls.crt"), certificate).unwrap();
        fs::write(files.path().join("tls.key"), key).unwrap();
        let bundle = files.path().join("ca.crt");
        fs::write(&bundle, &authority.certificate).unwrap();
        let (nodes, health) = (free(), free());
        let process = Command::new(built("lanyard-operator").unwrap())
            .args([
                "--trust-domain",
                "example.org",
                "--namespace",
                "default",
                "--name",
                name,
            ])
            .args([
                "--listen",
                &nodes.to_string(),
                "--health",
                &health.to_string(),
            ])
            .arg("--tls-dir")
            .arg(files.path())
            .arg("--trust-bundle")
            .arg(bundle)
            .env("KUBECONFIG", cluster.kubeconfig())
            .spawn()
            .unwrap();
        let operator = Self {
            process,
            nodes,
            _files: files,
        };
        wait::until("the operator is ready", PATIENCE, || {
            let asked = Command::new("curl")
                .args(["--silent", "--fail", &format!("http://{health}/readyz")])
                .output()?;
            Ok(asked.status.success().then_some(()))
        })
        .unwrap();
        operator
    }

    /// Without a chance to say anything.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address that nobody has.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

//! Servers of MCP by its official SDK.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};

use super::Running;
use crate::{lab::Lab, peers, service};

/// The servers of `peers/python/mcp_server.py`.
pub fn mcp(lab: &Lab, token: &str) -> Result<Running> {
    start(lab, "mcp_server.py", &[token], &[8447, 8448])
}

/// The port of the server that the conformance suite knows, over TLS, for who has the token.
pub const CONFORMANCE: u16 = 8450;
/// The same server in the clear, for whoever comes.
pub const CONFORMANCE_IN_THE_CLEAR: u16 = 8451;

/// The server of `peers/python/mcp_conformance.py`.
pub fn conformance(lab: &Lab, token: &str) -> Result<Running> {
    let names = format!("{},{}", service::NAME, lab.address());
    let ports = [CONFORMANCE, CONFORMANCE_IN_THE_CLEAR];
    start(lab, "mcp_conformance.py", &[token, &names], &ports)
}

fn start(lab: &Lab, name: &str, arguments: &[&str], ports: &[u16]) -> Result<Running> {
    let script = peers::file(&format!("python/{name}"))?;
    let script = lab.write(&format!("service/{name}"), script)?;
    let server = lab
        .on_host(peers::python()?)
        .arg(script)
        .arg(lab.path("service/server.pem"))
        .arg(lab.path("service/server.key"))
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(fs::File::create(lab.path("service/mcp.log"))?)
        .spawn()
        .context("start a server of MCP")?;
    let running = Running(server);
    for port in ports {
        lab.until_listens(*port)?;
    }
    Ok(running)
}

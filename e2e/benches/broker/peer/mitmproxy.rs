//! mitmproxy, as it comes: a reply is handed on when the whole of it is there.

use std::{path::PathBuf, process::Command};

use anyhow::Result;
use lanyard_e2e::{peers, scenes::TOKEN};

use super::{Peer, free_ports, proxy, spawn};
use crate::place::{Place, read};

pub(super) fn start(place: &Place) -> Result<Peer> {
    let [port, _] = free_ports()?;
    let folder = place.path("peers/mitmproxy").display().to_string();
    // The name that it looks for its authority under.
    place.write(
        "peers/mitmproxy/mitmproxy-ca.pem",
        read(&place.authority.both)?,
    )?;
    let roots = place.service_roots()?;
    let mut command = Command::new(program()?);
    command
        .args(["--quiet", "--listen-host", "127.0.0.1", "--listen-port"])
        .arg(port.to_string());
    for option in [
        format!("confdir={folder}"),
        format!("ssl_verify_upstream_trusted_ca={}", roots.display()),
        format!("modify_headers=/~q/Authorization/Bearer {TOKEN}"),
    ] {
        command.args(["--set", &option]);
    }
    let mut peer = proxy("mitmproxy", port, spawn(place, "mitmproxy", &command)?)?;
    peer.streams = false;
    Ok(peer)
}

fn program() -> Result<PathBuf> {
    let folder = peers::venv("mitmproxy", "mitmproxy/requirements.txt")?;
    Ok(folder.join("bin/mitmdump"))
}

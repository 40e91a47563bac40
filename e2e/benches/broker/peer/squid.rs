//! squid with `ssl-bump`. It speaks HTTP/1.1 alone.

use std::{os::unix::fs::chown, process::Command};

use anyhow::{Context as _, Result};
use lanyard_e2e::{lab, scenes::TOKEN};

use super::{Peer, free_ports, proxy, spawn};
use crate::place::Place;

/// The user that it becomes.
const USER: &str = "proxy";
const MINTS: &str = "/usr/lib/squid/security_file_certgen";

pub(super) fn start(place: &Place) -> Result<Peer> {
    let [port, _] = free_ports()?;
    let configuration = configuration(place, port)?;
    let configuration = place.write("peers/squid/squid.conf", configuration)?;
    let user = user()?;
    chown(place.path("peers/squid"), Some(user), None).context("give squid its folder")?;
    let certificates = place.path("peers/squid/certificates");
    lab::run(
        Command::new("setpriv")
            .args(["--reuid", USER, "--clear-groups", "--regid", USER, MINTS])
            .args(["-c", "-s"])
            .arg(certificates)
            .args(["-M", "4MB"]),
    )?;
    let mut command = Command::new("squid");
    let child = spawn(
        place,
        "squid",
        command.args(["-N", "-f"]).arg(configuration),
    )?;
    let mut peer = proxy("squid", port, child)?;
    peer.speaks_http2 = false;
    Ok(peer)
}

fn configuration(place: &Place, port: u16) -> Result<String> {
    let folder = place.path("peers/squid").display().to_string();
    let authority = place.authority.both.display();
    let roots = place.service_roots()?;
    let roots = roots.display();
    Ok(format!(
        r#"
http_port 127.0.0.1:{port} ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB cert={authority}
sslcrtd_program {MINTS} -s {folder}/certificates -M 4MB
sslcrtd_children 2 startup=1
acl first at_step SslBump1
ssl_bump peek first
ssl_bump bump all
tls_outgoing_options cafile={roots}
request_header_access Authorization deny all
request_header_add Authorization "Bearer {TOKEN}" all
http_access allow all
cache deny all
access_log none
cache_log {folder}/cache.log
pid_filename {folder}/squid.pid
coredump_dir {folder}
max_filedescriptors 8192
pinger_enable off
shutdown_lifetime 0 seconds
"#
    ))
}

fn user() -> Result<u32> {
    let output = lab::run(Command::new("id").args(["-u", USER]))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

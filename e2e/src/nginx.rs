//! nginx on the lab's second host.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result};

use crate::{counterparts::Running, lab::Lab};

/// What one nginx does.
#[derive(Debug)]
pub struct Site<'a> {
    /// The folder of the lab that its files are in.
    pub folder: &'a str,
    /// How many connections it has at once.
    pub connections: u32,
    /// Where it listens.
    pub ports: &'a [u16],
    /// The content of its `http` block, where its temporary files have their places already.
    pub http: String,
}

/// Starts it, and waits until it listens.
pub fn start(lab: &Lab, site: &Site<'_>) -> Result<Running> {
    let Site {
        folder,
        connections,
        ports,
        http,
    } = site;
    let place = lab.path(folder).display().to_string();
    let configuration = format!(
        "
daemon off;
master_process off;
user root;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections {connections}; }}
http {{
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
{http}
}}
"
    );
    let configuration = lab.write(&format!("{folder}/nginx.conf"), configuration)?;
    let nginx = lab
        .on_host("nginx")
        .arg("-c")
        .arg(configuration)
        .stdout(Stdio::null())
        .stderr(fs::File::create(lab.path(folder).join("stderr.log"))?)
        .spawn()
        .with_context(|| format!("start nginx for {folder}"))?;
    let running = Running::from(nginx);
    for port in *ports {
        lab.until_listens(*port)?;
    }
    Ok(running)
}

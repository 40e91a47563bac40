//! The service that everybody is measured against: nginx on the lab's second host, which demands the token.

use std::{fs, net::TcpStream, process::Stdio, time::Duration};

use anyhow::{Context as _, Result};
use lanyard_e2e::{counterparts::Running, lab::Lab, wait};

/// Its port.
pub(crate) const PORT: u16 = 8500;

/// What it has: a path and its length.
pub(crate) const FILES: [(&str, usize); 2] = [("/1k", 1 << 10), ("/1m", 1 << 20)];

/// Starts it, with the certificate of the stage's service.
pub(crate) fn start(lab: &Lab, token: &str) -> Result<Running> {
    for (path, length) in FILES {
        lab.write(&format!("origin/html{path}"), vec![b'x'; length])?;
    }
    let configuration = lab.write("origin/nginx.conf", configuration(lab, token))?;
    let nginx = lab
        .on_host("nginx")
        .arg("-c")
        .arg(configuration)
        .stdout(Stdio::null())
        .stderr(fs::File::create(lab.path("origin/stderr.log"))?)
        .spawn()
        .context("start nginx")?;
    let running = Running::from(nginx);
    let address = format!("{}:{PORT}", lab.address());
    wait::until("the origin listens", Duration::from_secs(20), || {
        Ok(TcpStream::connect(&address).ok())
    })?;
    Ok(running)
}

fn configuration(lab: &Lab, token: &str) -> String {
    let (folder, keys) = (lab.path("origin"), lab.path("service"));
    let (folder, keys) = (folder.display(), keys.display());
    format!(
        r#"
daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 600;
  open_file_cache max=16;
  open_file_cache_valid 600;
  root {folder}/html;
  default_type application/octet-stream;
  server {{
    listen {PORT} ssl http2 backlog=4096;
    ssl_certificate {keys}/server.pem;
    ssl_certificate_key {keys}/server.key;
    if ($http_authorization != "Bearer {token}") {{ return 401 "no token\n"; }}
  }}
}}
"#
    )
}

//! The service that everybody is measured against: nginx on the lab's second host, which demands the token.

use anyhow::Result;
use lanyard_e2e::{
    counterparts::Running,
    lab::Lab,
    nginx::{self, Site},
};

/// Its port.
pub(crate) const PORT: u16 = 8500;

/// What it has: a path and its length.
pub(crate) const FILES: [(&str, usize); 2] = [("/1k", 1 << 10), ("/1m", 1 << 20)];

/// Starts it, with the certificate of the stage's service.
pub(crate) fn start(lab: &Lab, token: &str) -> Result<Running> {
    for (path, length) in FILES {
        lab.write(&format!("origin/html{path}"), vec![b'x'; length])?;
    }
    let site = Site {
        folder: "origin",
        connections: 8192,
        ports: &[PORT],
        http: http(lab, token),
    };
    nginx::start(lab, &site)
}

fn http(lab: &Lab, token: &str) -> String {
    let (folder, keys) = (lab.path("origin"), lab.path("service"));
    let (folder, keys) = (folder.display(), keys.display());
    format!(
        r#"
  access_log off;
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
"#
    )
}

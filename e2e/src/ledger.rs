//! nginx on the lab's second host that writes down, for each request, the connection it came on, who says to have
//! sent it, and with which credential it came.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{lab::Lab, wait};

/// Its port, for TLS with HTTP/1.1 and HTTP/2.
pub const PORT: u16 = 8450;
/// The header by which a client says who it is.
pub const SENDER: &str = "X-Sender";
/// How many requests one connection serves: more come on another.
pub const REQUESTS: usize = 50;

/// The running server.
pub struct Ledger {
    nginx: Child,
    log: PathBuf,
}

/// One request, as it arrived.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrived {
    /// The number of the connection.
    pub connection: u64,
    /// Whether its TLS resumed an earlier session.
    pub is_resumed: bool,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// What the client said it is.
    pub sender: String,
    /// The path.
    pub path: String,
    /// The header with the credential.
    pub authorization: String,
}

impl Ledger {
    /// Starts it, with the certificate of the lab's service. A reply says who sent the request, and for what;
    /// what is called `large` takes minutes.
    pub fn open(lab: &Lab) -> Result<Self> {
        let log = lab.write("ledger/access.log", "")?;
        let configuration = lab.write("ledger/nginx.conf", configuration(lab))?;
        let nginx = lab
            .on_host("nginx")
            .arg("-c")
            .arg(configuration)
            .stdout(Stdio::null())
            .stderr(fs::File::create(lab.path("ledger/stderr.log"))?)
            .spawn()
            .context("start nginx for the ledger")?;
        let ledger = Self { nginx, log };
        let address = format!("{}:{PORT}", lab.address());
        wait::until("the ledger listens", Duration::from_secs(20), || {
            Ok(TcpStream::connect(&address).ok())
        })?;
        Ok(ledger)
    }

    /// What arrived, in the order of its end.
    pub fn arrived(&self) -> Result<Vec<Arrived>> {
        let text = fs::read_to_string(&self.log).context("read the ledger")?;
        text.lines().map(read).collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

fn read(line: &str) -> Result<Arrived> {
    let fields: Vec<&str> = line.split('\t').collect();
    ensure!(fields.len() == 6, "a line of the ledger: {line:?}");
    Ok(Arrived {
        connection: fields[0].parse().context("read a connection's number")?,
        is_resumed: fields[1] == "r",
        version: fields[2].to_owned(),
        sender: fields[3].to_owned(),
        path: fields[4].to_owned(),
        authorization: fields[5].to_owned(),
    })
}

fn configuration(lab: &Lab) -> String {
    let folder = lab.path("ledger").display().to_string();
    let keys = lab.path("service").display().to_string();
    format!(
        r#"
daemon off;
master_process off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format ledger '$connection\t$ssl_session_reused\t$server_protocol\t$http_x_sender\t$uri\t$http_authorization';
  access_log {folder}/access.log ledger;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests {REQUESTS};
  client_max_body_size 8m;
  ssl_session_cache shared:ledger:1m;
  server {{
    listen {PORT} ssl http2;
    ssl_certificate {keys}/server.pem;
    ssl_certificate_key {keys}/server.key;
    location ~ /large$ {{
      alias {keys}/html/large;
      limit_rate 256k;
    }}
    location / {{ return 200 "$http_x_sender $uri\n"; }}
  }}
}}
"#
    )
}

//! nginx on the lab's second host that writes down, for each request, the connection it came on, who says to have
//! sent it, and with which credential it came.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::{
    counterparts::Running,
    lab::Lab,
    nginx::{self, Site},
};

/// Its port, for TLS with HTTP/1.1 and HTTP/2.
pub const PORT: u16 = 8450;
/// The header by which a client says who it is.
pub const SENDER: &str = "X-Sender";
/// How many requests one connection serves: more come on another.
pub const REQUESTS: usize = 50;

/// The running server.
pub struct Ledger {
    _nginx: Running,
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
        let site = Site {
            folder: "ledger",
            connections: 1024,
            ports: &[PORT],
            http: http(lab),
        };
        let nginx = nginx::start(lab, &site)?;
        Ok(Self { _nginx: nginx, log })
    }

    /// What arrived, in the order of its end.
    pub fn arrived(&self) -> Result<Vec<Arrived>> {
        let text = fs::read_to_string(&self.log).context("read the ledger")?;
        text.lines().map(read).collect()
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

fn http(lab: &Lab) -> String {
    let folder = lab.path("ledger").display().to_string();
    let keys = lab.path("service").display().to_string();
    format!(
        r#"
  log_format ledger '$connection\t$ssl_session_reused\t$server_protocol\t$http_x_sender\t$uri\t$http_authorization';
  access_log {folder}/access.log ledger;
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
"#
    )
}

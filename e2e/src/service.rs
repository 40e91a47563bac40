//! A real service on the lab's second host: nginx with TLS that demands a token and writes down what
//! arrives, and a peer that writes down when bytes arrive.

use std::{fs, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::{
    counterparts::Running,
    lab::Lab,
    nginx::{self, Site},
};

/// The name the service is reached by.
pub const NAME: &str = "api.demo.test";
/// Another name of the same service, which nothing grants.
pub const OTHER_NAME: &str = "other.demo.test";
/// HTTPS.
pub const TLS_PORT: u16 = 443;
/// Plain HTTP, for connections that no broker carries.
pub const PLAIN_PORT: u16 = 8080;
/// The peer that writes down when bytes arrive.
pub const PEER_PORT: u16 = 9090;
/// What the service answers who has the token.
pub const GREETING: &str = "hello, authorised caller";

/// The running service.
pub struct Service {
    _nginx: Running,
    _peer: Running,
    log: PathBuf,
    arrivals: PathBuf,
    /// PEM of the authority its certificate chains to.
    pub authority: String,
}

impl Service {
    /// Starts it; `token` is what it demands.
    pub fn start(lab: &Lab, token: &str) -> Result<Self> {
        let names = [NAME, OTHER_NAME];
        let authority = certify(lab, "service/server", "Demo service authority", &names)?;
        lab.write("service/html/large", vec![b'x'; 32 << 20])?;
        let log = lab.write("service/access.log", "")?;
        let arrivals = lab.write("service/arrivals.log", "")?;
        let site = Site {
            folder: "service",
            connections: 256,
            ports: &[TLS_PORT, PLAIN_PORT],
            http: http(lab, token),
        };
        let nginx = nginx::start(lab, &site)?;
        let script = lab.write("service/peer.py", PEER)?;
        let peer = lab
            .on_host("python3")
            .arg(script)
            .arg(&arrivals)
            .arg(PEER_PORT.to_string())
            .stdout(Stdio::null())
            .spawn()
            .context("start the peer")?;
        let peer = Running::from(peer);
        lab.until_listens(PEER_PORT)?;
        Ok(Self {
            _nginx: nginx,
            _peer: peer,
            log,
            arrivals,
            authority,
        })
    }

    /// What arrived: one line a request, with the Authorization header it came with.
    pub fn requests(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(&self.log).context("read the service's log")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// When bytes arrived at the peer, in nanoseconds since 1970.
    pub fn arrivals(&self) -> Result<Vec<i128>> {
        let text = fs::read_to_string(&self.arrivals).context("read the peer's log")?;
        text.lines()
            .map(|line| {
                line.parse()
                    .with_context(|| format!("read the arrival {line:?}"))
            })
            .collect()
    }
}

/// Makes an authority, and a certificate of it at those names with its key, `FILE.pem` and `FILE.key`; returns the
/// authority's own.
pub(crate) fn certify(lab: &Lab, file: &str, authority: &str, names: &[&str]) -> Result<String> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let server = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    lab.write(&format!("{file}.pem"), server.pem())?;
    lab.write(&format!("{file}.key"), key.serialize_pem())?;
    Ok(authority)
}

fn http(lab: &Lab, token: &str) -> String {
    let folder = lab.path("service").display().to_string();
    format!(
        r#"
  log_format arrived '$host $request_method $uri "$http_authorization" $status $server_protocol';
  access_log {folder}/access.log arrived;
  root {folder}/html;
  default_type application/octet-stream;
  server {{
    listen {TLS_PORT} ssl http2;
    listen [::]:{TLS_PORT} ssl http2;
    server_name {NAME} {OTHER_NAME};
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.key;
    if ($http_authorization != "Bearer {token}") {{ return 401 "no token\n"; }}
    location = / {{ return 200 "{GREETING}\n"; }}
    location = /echo {{ return 200 "you sent $http_authorization\n"; }}
    location = /large {{ limit_rate 256k; }}
    location /orders/ {{ return 200 "order $uri\n"; }}
    location /admin {{ return 200 "you are in\n"; }}
  }}
  server {{
    listen {PLAIN_PORT};
    location = / {{ return 200 "{GREETING}\n"; }}
    location = /large {{ limit_rate 256k; }}
  }}
"#
    )
}

/// Writes down when each piece of a connection arrived, as the kernel stamped it (`SO_TIMESTAMPNS`).
const PEER: &str = r#"
import socket, struct, sys, threading

SO_TIMESTAMPNS = 35
log = open(sys.argv[1], "a", buffering=1)
listener = socket.create_server(("", int(sys.argv[2])))

def serve(connection):
    connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    while True:
        try:
            data, control, _, _ = connection.recvmsg(65536, 128)
        except ConnectionResetError:
            return
        if not data:
            return
        for level, kind, stamp in control:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanos = struct.unpack("@qq", stamp[:16])
                log.write(f"{seconds * 1_000_000_000 + nanos}\n")

def answer():
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    datagrams.bind(("", int(sys.argv[2])))
    while True:
        data, control, _, sender = datagrams.recvmsg(65536, 128)
        for level, kind, stamp in control:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanos = struct.unpack("@qq", stamp[:16])
                log.write(f"{seconds * 1_000_000_000 + nanos}\n")
        datagrams.sendto(data, sender)

threading.Thread(target=answer, daemon=True).start()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

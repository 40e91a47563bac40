//! A client as many in Rust are: rustls, which trusts what rustls-native-certs finds. Asks for each URL and prints what
//! came.
#![expect(
    clippy::print_stdout,
    reason = "what came is read from standard output"
)]

use std::{
    env,
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() -> Result<()> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    ensure!(!roots.is_empty(), "there are no roots: {:?}", found.errors);
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    for url in env::args().skip(1) {
        match get(&url, &config) {
            Ok(reply) => println!("{url}: {reply}"),
            Err(error) => println!("{url}: error: {error:#}"),
        }
    }
    Ok(())
}

fn get(url: &str, config: &Arc<ClientConfig>) -> Result<String> {
    let rest = url.strip_prefix("https://").context("https only")?;
    let (place, path) = rest.split_once('/').context("no path")?;
    let (name, port) = place.split_once(':').unwrap_or((place, "443"));
    let connection = ClientConnection::new(Arc::clone(config), name.to_owned().try_into()?)?;
    let socket = TcpStream::connect((name, port.parse()?)).context("connect")?;
    let mut stream = StreamOwned::new(connection, socket);
    let asked = format!("GET /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes())?;
    let mut reply = Vec::new();
    // A server may close without saying so.
    let ended = stream.read_to_end(&mut reply);
    ensure!(!reply.is_empty(), "nothing came: {ended:?}");
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

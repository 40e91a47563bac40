//! haproxy, TLS to TLS. It speaks HTTP/2 with services.

use std::process::Command;

use anyhow::Result;
use lanyard_e2e::{scenes::TOKEN, service::NAME};

use super::{Peer, free_ports, reverse, spawn, upstreams};
use crate::place::Place;

pub(super) fn start(place: &Place) -> Result<Peer> {
    let ports = free_ports()?;
    let name = place.authority.name.display();
    let roots = place.service_roots()?;
    let roots = roots.display();
    let [origin, events] = upstreams(place);
    let [to_origin, to_events] = ports;
    let configuration = format!(
        r#"
global
  maxconn 8192
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend origin
  bind 127.0.0.1:{to_origin} ssl crt {name} alpn h2,http/1.1
  http-request set-header Authorization "Bearer {TOKEN}"
  default_backend origin
frontend events
  bind 127.0.0.1:{to_events} ssl crt {name} alpn h2,http/1.1
  http-request set-header Authorization "Bearer {TOKEN}"
  default_backend events
backend origin
  server origin {origin} ssl verify required ca-file {roots} sni str({NAME}) verifyhost {NAME} alpn h2,http/1.1
backend events
  server events {events} ssl verify required ca-file {roots} sni str({NAME}) verifyhost {NAME}
"#
    );
    let configuration = place.write("peers/haproxy.cfg", configuration)?;
    let mut command = Command::new("haproxy");
    let child = spawn(
        place,
        "haproxy",
        command.arg("-db").arg("-f").arg(configuration),
    )?;
    reverse("haproxy", ports, child)
}

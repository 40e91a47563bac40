//! nginx, TLS to TLS. It speaks HTTP/1.1 with services.

use std::process::Command;

use anyhow::Result;
use lanyard_e2e::{scenes::TOKEN, service::NAME};

use super::{Peer, free_ports, reverse, spawn, upstreams};
use crate::place::Place;

pub(super) fn start(place: &Place) -> Result<Peer> {
    let ports = free_ports()?;
    let configuration = configuration(place, ports)?;
    let configuration = place.write("peers/nginx/nginx.conf", configuration)?;
    let mut command = Command::new("nginx");
    let child = spawn(place, "nginx", command.arg("-c").arg(configuration))?;
    reverse("nginx", ports, child)
}

fn configuration(place: &Place, ports: [u16; 2]) -> Result<String> {
    let folder = place.path("peers/nginx").display().to_string();
    let name = place.authority.name.display();
    let roots = place.service_roots()?;
    let roots = roots.display();
    let [origin, events] = upstreams(place);
    let [to_origin, to_events] = ports;
    Ok(format!(
        r#"
daemon off;
user root;
worker_processes auto;
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
  upstream origin {{ server {origin}; keepalive 256; keepalive_requests 100000000; }}
  upstream events {{ server {events}; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host {NAME};
  proxy_set_header Authorization "Bearer {TOKEN}";
  proxy_ssl_trusted_certificate {roots};
  proxy_ssl_verify on;
  proxy_ssl_name {NAME};
  proxy_ssl_server_name on;
  proxy_buffering off;
  ssl_certificate {name};
  ssl_certificate_key {name};
  server {{ listen 127.0.0.1:{to_origin} ssl http2 backlog=4096; location / {{ proxy_pass https://origin; }} }}
  server {{ listen 127.0.0.1:{to_events} ssl http2 backlog=4096; location / {{ proxy_pass https://events; }} }}
}}
"#
    ))
}

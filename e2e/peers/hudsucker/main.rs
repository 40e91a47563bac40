//! The proxy that hudsucker's own example is, with a header put into each request.
//!
//! `hudsucker-peer AUTHORITY.pem AUTHORITY.key ROOTS.pem PORT VALUE-OF-AUTHORIZATION`

use std::{net::SocketAddr, sync::Arc};

use hudsucker::{
    Body, HttpContext, HttpHandler, Proxy, RequestOrResponse,
    certificate_authority::RcgenAuthority,
    hyper::{Request, header::AUTHORIZATION, http::HeaderValue},
    rcgen::{Issuer, KeyPair},
    rustls::{self, crypto::aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

#[derive(Clone)]
struct Injects(HeaderValue);

impl HttpHandler for Injects {
    async fn handle_request(
        &mut self,
        _: &HttpContext,
        mut request: Request<Body>,
    ) -> RequestOrResponse {
        request.headers_mut().insert(AUTHORIZATION, self.0.clone());
        request.into()
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, authority, key, roots, port, value] = arguments.as_slice() else {
        panic!("five arguments");
    };
    let read = |path: &String| std::fs::read_to_string(path).expect("read a file");
    let key = KeyPair::from_pem(&read(key)).expect("read the key");
    let issuer = Issuer::from_ca_cert_pem(&read(authority), key).expect("read the authority");
    let authority = RcgenAuthority::new(issuer, 1_000, aws_lc_rs::default_provider());
    let mut trusted = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).expect("read the roots") {
        trusted.add(certificate.expect("read a root")).expect("use a root");
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("speak TLS")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .build();
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port")));
    let proxy = Proxy::builder()
        .with_addr(address)
        .with_ca(authority)
        .with_http_connector(connector)
        .with_http_handler(Injects(value.parse().expect("a header")))
        .build()
        .expect("set the proxy up");
    proxy.start().await.expect("serve");
}

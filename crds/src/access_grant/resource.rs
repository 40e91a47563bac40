//! What a grant opens.

use lanyard_access::{
    grant::{Protocol as CheckedProtocol, Resource as CheckedResource},
    port::Port,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{self, NEEDS_ADDRESS, NEEDS_NAME};
use crate::{
    field::FieldErrors,
    rule::{fixed, rule_of},
    text::{DNS_PORT, HAS_NO_CERTIFICATE, HAS_PRIVATE_KEY, IS_DNS_PORT},
};

/// What may be reached, on one port.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct Resource {
    /// With the protocol HTTPS the exact DNS name of the service, for example api.example.com; a name is
    /// no wildcard: write a grant for each host. With the protocols TCP and UDP an IP address, or a
    /// network as ADDRESS/LENGTH, for example 10.1.0.0/16. A network never opens the loopback and
    /// link-local addresses in it (there clouds answer with credentials), nor the virtual ones that
    /// Lanyard hands out for names: the first two need a grant that names the very address.
    #[schemars(schema_with = "super::host::schema")]
    pub host: String,
    /// The port of the service, from 1 to 65535. 53 cannot be granted: within an agent's scope it is
    /// always Lanyard's own resolver.
    #[serde(default = "https_port")]
    #[schemars(schema_with = "crate::text::port")]
    pub port: u16,
    /// How the agent speaks to the service. `HTTPS`: HTTP over TLS to a name; each request is decided by
    /// itself, and a credential can be put in. `TCP`: connections to an address or a network, each
    /// allowed by the kernel as a whole. `UDP`: datagrams to and from an address or a network, each
    /// allowed by the kernel.
    pub protocol: Protocol,
    /// Whether the name may lead to a private, loopback or link-local address. Without it, a name
    /// that resolves to one is refused. An address that is written as host is always taken as it is.
    #[serde(default)]
    pub allow_private: bool,
    /// PEM certificates that the service's own must chain to, for a service with a private authority.
    /// Without it, the roots of the system hold. Only with the protocol HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::certificates")]
    pub ca_bundle: Option<String>,
}

/// How an agent speaks to a service.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP over TLS to a name: each request is decided by itself, and a credential can be put in.
    Https,
    /// TCP to an address or a network, allowed by the kernel connection by connection.
    Tcp,
    /// UDP to an address or a network, allowed by the kernel datagram by datagram.
    Udp,
}

const NO_CERTIFICATES: &str = "is only for the protocol HTTPS: Lanyard verifies no certificate in a connection that the kernel alone carries";

fn rules() -> [Value; 4] {
    [
        rule_of(
            "host",
            "self.protocol != 'HTTPS' || !(isIP(self.host) || isCIDR(self.host))",
            NEEDS_NAME,
        ),
        rule_of(
            "host",
            "self.protocol == 'HTTPS' || isIP(self.host) || isCIDR(self.host)",
            NEEDS_ADDRESS,
        ),
        rule_of(
            "caBundle",
            "self.protocol == 'HTTPS' || !has(self.caBundle)",
            NO_CERTIFICATES,
        ),
        fixed(),
    ]
}

const fn https_port() -> u16 {
    443
}

impl From<Protocol> for CheckedProtocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Https => Self::Https,
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
        }
    }
}

impl Resource {
    /// The checked form, or notes of what is wrong.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<CheckedResource> {
        let host = errors.keep(
            format!("{path}.host"),
            host::check(&self.host, self.protocol),
        );
        let port = errors.keep(format!("{path}.port"), Port::new(self.port.into()));
        if self.port == DNS_PORT {
            errors.add(format!("{path}.port"), IS_DNS_PORT);
        }
        let ca_bundle = self.ca_bundle.as_deref();
        if let Some(Err(message)) = ca_bundle.map(|text| self.check_ca_bundle(text)) {
            errors.add(format!("{path}.caBundle"), message);
        }
        Some(CheckedResource {
            host: host?,
            port: port?,
            protocol: self.protocol.into(),
            allow_private: self.allow_private,
            ca_bundle: self.ca_bundle.clone(),
        })
    }

    fn check_ca_bundle(&self, text: &str) -> Result<(), String> {
        if self.protocol != Protocol::Https {
            return Err(NO_CERTIFICATES.to_owned());
        }
        if text.contains("PRIVATE KEY-----") {
            return Err(HAS_PRIVATE_KEY.to_owned());
        }
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(HAS_NO_CERTIFICATE.to_owned()),
            Ok(_) => Ok(()),
            Err(_) => Err("has a certificate that is not PEM text: copy it whole, with its BEGIN and END lines".to_owned()),
        }
    }
}

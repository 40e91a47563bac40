//! What a grant opens.

use lanyard_access::{
    condition::Condition as CheckedCondition,
    grant::{Protocol as CheckedProtocol, Resource as CheckedResource, Tls as CheckedTls},
    http::HttpRule as CheckedRule,
    mcp::McpRule as CheckedMcp,
    port::Port,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    condition::Condition,
    host::{self, NEEDS_ADDRESS, NEEDS_NAME},
    http::HttpRule,
    mcp::McpRule,
};
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
    /// The exact DNS name of the service, for example api.example.com; a name is no wildcard: write a grant
    /// for each host. With the protocols TCP and UDP also an IP address, or a network as ADDRESS/LENGTH,
    /// for example 10.1.0.0/16; UDP takes no name. A network never opens the loopback and
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
    /// itself, and a credential can be put in; `http://` URLs of that name are carried over TLS too, at
    /// port 80 where the service's is 443. `MCP`: the Model Context Protocol over HTTPS to a name; each message
    /// is decided by itself, too. `HTTP`: HTTP in the clear to a name; each request is decided by
    /// itself, and no credential can be put in. `TCP`: connections to a name, an address or a network, each
    /// allowed as a whole and not read. `UDP`: datagrams to and from an address or a network, each allowed
    /// by the kernel.
    pub protocol: Protocol,
    /// What becomes of TLS on its way, with the protocol HTTPS. `Terminate`, which is also meant without
    /// it: Lanyard ends it and begins it anew, so that each request is decided. `Passthrough`: it is carried
    /// as it is, for clients that check for the service's own certificate; Lanyard sees the name alone that
    /// the client begins with, decides nothing by request, and puts no credential in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Tls")]
    pub tls: Option<Tls>,
    /// Which requests are allowed, by method and path: what one of the rules allows, and every request
    /// without rules. With the protocols HTTPS, HTTP and MCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub http: Vec<HttpRule>,
    /// Which messages are allowed, with the protocol MCP; every message without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "McpRule")]
    pub mcp: Option<McpRule>,
    /// What else has to be true of each request: all of them. With the protocols HTTPS, HTTP and MCP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub conditions: Vec<Condition>,
    /// Whether the name may lead to a private, loopback or link-local address. Without it, a name
    /// that resolves to one is refused. An address that is written as host is always taken as it is.
    #[serde(default)]
    pub allow_private: bool,
    /// PEM certificates that the service's own must chain to, for a service with a private authority.
    /// Without it, the roots of the system hold. Only with the protocols HTTPS and MCP where Lanyard ends TLS.
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
    /// The Model Context Protocol over HTTPS to a name: each message is decided by itself.
    Mcp,
    /// HTTP in the clear to a name: each request is decided by itself.
    Http,
    /// TCP to a name, an address or a network, allowed connection by connection.
    Tcp,
    /// UDP to an address or a network, allowed by the kernel datagram by datagram.
    Udp,
}

/// What becomes of TLS on its way.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tls {
    /// Lanyard ends it and begins it anew.
    Terminate,
    /// It is carried as it is.
    Passthrough,
}

const TLS_OF_HTTPS: &str = "is only for the protocol HTTPS";
const RULES_OF_HTTP: &str = "is only for the protocols HTTPS, HTTP and MCP, and not with `tls: Passthrough`: Lanyard sees no requests in other connections";
const MESSAGES_OF_MCP: &str = "is only for the protocol MCP";
const NO_CERTIFICATES: &str = "is only for the protocols HTTPS and MCP, and not with `tls: Passthrough`: Lanyard verifies no certificate in other connections";

fn rules() -> [Value; 8] {
    [
        rule_of(
            "host",
            "!(self.protocol in ['HTTPS', 'HTTP', 'MCP']) || !(isIP(self.host) || isCIDR(self.host))",
            NEEDS_NAME,
        ),
        rule_of(
            "host",
            "self.protocol != 'UDP' || isIP(self.host) || isCIDR(self.host)",
            NEEDS_ADDRESS,
        ),
        rule_of(
            "tls",
            "self.protocol == 'HTTPS' || !has(self.tls)",
            TLS_OF_HTTPS,
        ),
        rule_of(
            "http",
            "!has(self.http) || size(self.http) == 0 || (self.protocol in ['HTTPS', 'HTTP', 'MCP'] && (!has(self.tls) || self.tls == 'Terminate'))",
            RULES_OF_HTTP,
        ),
        rule_of(
            "conditions",
            "!has(self.conditions) || size(self.conditions) == 0 || (self.protocol in ['HTTPS', 'HTTP', 'MCP'] && (!has(self.tls) || self.tls == 'Terminate'))",
            RULES_OF_HTTP,
        ),
        rule_of(
            "mcp",
            "self.protocol == 'MCP' || !has(self.mcp)",
            MESSAGES_OF_MCP,
        ),
        rule_of(
            "caBundle",
            "!has(self.caBundle) || (self.protocol in ['HTTPS', 'MCP'] && (!has(self.tls) || self.tls == 'Terminate'))",
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
            Protocol::Mcp => Self::Mcp,
            Protocol::Http => Self::Http,
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
        if self.tls.is_some() && self.protocol != Protocol::Https {
            errors.add(format!("{path}.tls"), TLS_OF_HTTPS);
        }
        let http = self.check_http(path, errors);
        if self.mcp.is_some() && self.protocol != Protocol::Mcp {
            errors.add(format!("{path}.mcp"), MESSAGES_OF_MCP);
        }
        let conditions = self.check_conditions(path, errors);
        let mcp = match &self.mcp {
            Some(rule) => rule.check(&format!("{path}.mcp"), errors),
            None => Some(CheckedMcp::default()),
        };
        Some(CheckedResource {
            host: host?,
            port: port?,
            protocol: self.protocol.into(),
            tls: match self.tls {
                Some(Tls::Passthrough) => CheckedTls::Passthrough,
                Some(Tls::Terminate) | None => CheckedTls::Terminate,
            },
            http: http?,
            mcp: mcp?,
            conditions: conditions?,
            allow_private: self.allow_private,
            ca_bundle: self.ca_bundle.clone(),
        })
    }

    fn check_http(&self, path: &str, errors: &mut FieldErrors) -> Option<Vec<CheckedRule>> {
        if !self.http.is_empty() && !self.sees_requests() {
            errors.add(format!("{path}.http"), RULES_OF_HTTP);
        }
        let rules = self.http.iter().enumerate();
        let rules = rules.map(|(index, rule)| rule.check(&format!("{path}.http[{index}]"), errors));
        rules.collect::<Vec<_>>().into_iter().collect()
    }

    fn check_conditions(
        &self,
        path: &str,
        errors: &mut FieldErrors,
    ) -> Option<Vec<CheckedCondition>> {
        if !self.conditions.is_empty() && !self.sees_requests() {
            errors.add(format!("{path}.conditions"), RULES_OF_HTTP);
        }
        let conditions = self.conditions.iter().enumerate();
        let conditions = conditions.map(|(index, condition)| {
            condition.check(&format!("{path}.conditions[{index}]"), errors)
        });
        conditions.collect::<Vec<_>>().into_iter().collect()
    }

    /// Whether requests are seen on their way.
    pub(super) fn sees_requests(&self) -> bool {
        match self.protocol {
            Protocol::Https => !self.is_passed_through(),
            Protocol::Http | Protocol::Mcp => true,
            Protocol::Tcp | Protocol::Udp => false,
        }
    }

    /// Whether Lanyard ends TLS and begins it anew.
    pub(super) fn ends_tls(&self) -> bool {
        matches!(self.protocol, Protocol::Https | Protocol::Mcp) && !self.is_passed_through()
    }

    /// Whether nobody ends TLS on its way.
    pub(super) fn is_passed_through(&self) -> bool {
        self.tls == Some(Tls::Passthrough)
    }

    fn check_ca_bundle(&self, text: &str) -> Result<(), String> {
        if !self.ends_tls() {
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

//! `CredentialSource`: where a credential comes from and who may have it used.

mod consumers;
mod injection;
mod secret_key;
pub mod status;

use std::net::IpAddr;

use kube::CustomResource;
use lanyard_access::{
    credential::{Consumers, CredentialSource as CheckedSource, Source},
    host::DnsName,
    object::Uid,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::secret_key::check_secret_key;
pub use self::{
    consumers::AllowedConsumers,
    injection::{Injection, InjectionType},
    secret_key::SecretKeyRef,
    status::CredentialSourceStatus,
};
use crate::{
    field::{FieldError, FieldErrors},
    metadata::key_of,
    rule::rule_of,
};

/// Where a credential comes from, where it may be sent, and who may have it used.
#[derive(CustomResource, JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "lanyard.dev",
    version = "v1alpha1",
    kind = "CredentialSource",
    plural = "credentialsources",
    shortname = "credsrc",
    category = "lanyard",
    namespaced,
    status = "CredentialSourceStatus",
    derive = "PartialEq",
    cel,
    doc = "A CredentialSource says where a credential comes from, to which hosts it may ever be sent, and whose AccessGrants may have it used. The credential itself never stands in it.",
    printcolumn = r#"{"name":"Type","type":"string","jsonPath":".spec.type"}"#,
    printcolumn = r#"{"name":"Hosts","type":"string","jsonPath":".spec.allowedHosts"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct CredentialSourceSpec {
    /// How the credential is obtained. `SecretKey`: it is one key of a Secret, and secretKey says which.
    #[serde(rename = "type")]
    pub source_type: SourceType,
    /// The secret, with the type `SecretKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKeyRef")]
    pub secret_key: Option<SecretKeyRef>,
    /// How the credential is put into a request.
    pub injection: Injection,
    /// The only hosts the credential is ever sent to: from 1 to 64 exact DNS names.
    #[schemars(schema_with = "crate::text::dns_names")]
    pub allowed_hosts: Vec<String>,
    /// Whose `AccessGrants` may have the credential used. Without it, every one of the credential's own
    /// namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "AllowedConsumers")]
    pub allowed_consumers: Option<AllowedConsumers>,
}

/// How a credential is obtained.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceType {
    /// A fixed secret: one key of a Secret.
    SecretKey,
}

const SECRET_KEY_ONLY: &str = "must be set with the type SecretKey, and only then";

fn rules() -> [Value; 1] {
    [rule_of(
        "secretKey",
        "(self.type == 'SecretKey') == has(self.secretKey)",
        SECRET_KEY_ONLY,
    )]
}

impl CredentialSource {
    /// The checked form, or everything that is wrong with the object.
    pub fn check(&self, uid: Uid) -> Result<CheckedSource, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let spec = &self.spec;
        let key = key_of(&self.metadata, &mut errors);
        let source = spec.check_source(&mut errors);
        let hosts = spec.allowed_hosts.iter().enumerate();
        let allowed_hosts = hosts
            .filter_map(|(index, host)| {
                errors.keep(format!("spec.allowedHosts[{index}]"), check_host(host))
            })
            .collect();
        if spec.allowed_hosts.is_empty() {
            errors.add("spec.allowedHosts", "names no host; write at least one");
        }
        let consumers = match &spec.allowed_consumers {
            Some(written) => written.check("spec.allowedConsumers", &mut errors),
            None => Consumers {
                namespaces: [].into(),
                identities: [].into(),
            },
        };
        let checked = key.zip(source).map(|(key, source)| CheckedSource {
            key,
            uid,
            allowed_hosts,
            consumers,
            source,
            injection: spec.injection.injection_type.into(),
        });
        errors.finish(checked)
    }
}

fn check_host(host: &str) -> Result<DnsName, String> {
    if host.parse::<IpAddr>().is_ok() {
        return Err(format!(
            "`{host}` is an address; a credential is only ever sent to a host that proves its name"
        ));
    }
    host.parse().map_err(|error| format!("{error}"))
}

impl CredentialSourceSpec {
    fn check_source(&self, errors: &mut FieldErrors) -> Option<Source> {
        match (self.source_type, &self.secret_key) {
            (SourceType::SecretKey, Some(secret_key)) => secret_key.check("spec.secretKey", errors),
            (SourceType::SecretKey, None) => {
                errors.add("spec.secretKey", SECRET_KEY_ONLY);
                None
            }
        }
    }
}

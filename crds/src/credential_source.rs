//! `CredentialSource`: where a credential comes from and who may have it used.

mod basic;
mod consumers;
mod injection;
mod secret_key;
pub mod status;

use std::net::IpAddr;

use kube::CustomResource;
use lanyard_access::{
    credential::{
        Consumers, CredentialSource as CheckedSource, Injection as CheckedInjection, Source,
    },
    host::DnsName,
    object::Uid,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::secret_key::check_secret_key;
pub use self::{
    basic::BasicRef,
    consumers::AllowedConsumers,
    injection::{BasicInjection, HeaderInjection, Injection, InjectionType, QueryInjection},
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
    /// `Basic`: it is a user name and a password, and basic says of which Secret; it is put into requests as
    /// `Basic`.
    #[serde(rename = "type")]
    pub source_type: SourceType,
    /// The secret, with the type `SecretKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SecretKeyRef")]
    pub secret_key: Option<SecretKeyRef>,
    /// The user name and password, with the type `Basic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BasicRef")]
    pub basic: Option<BasicRef>,
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
    /// A fixed user name and password: two keys of a Secret.
    Basic,
}

const SECRET_KEY_ONLY: &str = "must be set with the type SecretKey, and only then";

const BASIC_ONLY: &str = "must be set with the type Basic, and only then";
const USERNAME_NEEDED: &str =
    "must be set: the source has a password alone, and Basic needs a user name";
const USERNAME_KNOWN: &str = "must not be set: the source has a user name of its own";
const PAIR_IS_BASIC: &str =
    "must be Basic: the source is a user name and a password, which go into no other place";

fn rules() -> [Value; 5] {
    [
        rule_of(
            "secretKey",
            "(self.type == 'SecretKey') == has(self.secretKey)",
            SECRET_KEY_ONLY,
        ),
        rule_of(
            "basic",
            "(self.type == 'Basic') == has(self.basic)",
            BASIC_ONLY,
        ),
        rule_of(
            "injection.type",
            "self.type != 'Basic' || self.injection.type == 'Basic'",
            PAIR_IS_BASIC,
        ),
        rule_of(
            "injection.basic",
            "self.type != 'SecretKey' || self.injection.type != 'Basic' || has(self.injection.basic)",
            USERNAME_NEEDED,
        ),
        rule_of(
            "injection.basic",
            "self.type != 'Basic' || !has(self.injection.basic)",
            USERNAME_KNOWN,
        ),
    ]
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
        let injection = spec.check_injection(&mut errors);
        let checked = || {
            Some(CheckedSource {
                key: key?,
                uid,
                allowed_hosts,
                consumers,
                source: source?,
                injection: injection?,
            })
        };
        let checked = checked();
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
        let needed = |errors: &mut FieldErrors, field, message| {
            errors.add(field, message);
            None
        };
        match (self.source_type, &self.secret_key, &self.basic) {
            (SourceType::SecretKey, Some(secret_key), None) => {
                secret_key.check("spec.secretKey", errors)
            }
            (SourceType::Basic, None, Some(basic)) => basic.check("spec.basic", errors),
            (SourceType::SecretKey, None, _) | (SourceType::Basic, Some(_), _) => {
                needed(errors, "spec.secretKey", SECRET_KEY_ONLY)
            }
            (SourceType::SecretKey, Some(_), Some(_)) | (SourceType::Basic, None, None) => {
                needed(errors, "spec.basic", BASIC_ONLY)
            }
        }
    }

    fn check_injection(&self, errors: &mut FieldErrors) -> Option<CheckedInjection> {
        let Injection {
            injection_type,
            basic,
            ..
        } = &self.injection;
        let is_basic = *injection_type == InjectionType::Basic;
        match self.source_type {
            SourceType::Basic if !is_basic => errors.add("spec.injection.type", PAIR_IS_BASIC),
            SourceType::Basic if basic.is_some() => {
                errors.add("spec.injection.basic", USERNAME_KNOWN);
            }
            SourceType::SecretKey if is_basic && basic.is_none() => {
                errors.add("spec.injection.basic", USERNAME_NEEDED);
            }
            SourceType::Basic | SourceType::SecretKey => {}
        }
        self.injection.check("spec.injection", errors)
    }
}

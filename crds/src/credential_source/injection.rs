//! How a credential is put into a request.

use lanyard_access::credential::Injection as CheckedInjection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{field::FieldErrors, rule::rule_of};

/// How a credential is put into a request. What the agent itself wrote in its place is removed, and so is
/// every other header that is known to hold a key (Authorization, X-Api-Key, Api-Key, X-Goog-Api-Key,
/// X-Auth-Token, Private-Token).
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct Injection {
    /// The way. `Bearer`: as the header `Authorization: Bearer CREDENTIAL` (RFC 6750). `Header`: as a header
    /// of another name. `Basic`: as the password of the header `Authorization: Basic` (RFC 7617). `Query`:
    /// as a parameter of the URL; services write URLs into their logs, so that this is the last choice.
    #[serde(rename = "type")]
    pub injection_type: InjectionType,
    /// The header, with the type `Header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HeaderInjection")]
    pub header: Option<HeaderInjection>,
    /// The user name, with the type `Basic` and a source of the type `SecretKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BasicInjection")]
    pub basic: Option<BasicInjection>,
    /// The parameter, with the type `Query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "QueryInjection")]
    pub query: Option<QueryInjection>,
}

/// The ways to put a credential into a request.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InjectionType {
    /// As the header `Authorization: Bearer CREDENTIAL` (RFC 6750).
    Bearer,
    /// As a header of another name.
    Header,
    /// As the password of the header `Authorization: Basic` (RFC 7617).
    Basic,
    /// As a parameter of the URL.
    Query,
}

/// A header that holds a credential.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderInjection {
    /// The name of the header, for example X-Api-Key.
    #[schemars(schema_with = "crate::text::header_name")]
    pub name: String,
    /// What stands before the credential, with the space between them if there is one, for example `Token `
    /// with a space at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::header_prefix")]
    pub prefix: Option<String>,
}

/// Whose password a credential is.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicInjection {
    /// The user name, for example x-access-token.
    #[schemars(schema_with = "crate::text::basic_username")]
    pub username: String,
}

/// A query parameter that holds a credential.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueryInjection {
    /// The name of the parameter, for example `api_key`.
    #[schemars(schema_with = "crate::text::query_parameter")]
    pub parameter: String,
}

pub(super) const HEADER_ONLY: &str = "must be set with the type Header, and only then";
pub(super) const QUERY_ONLY: &str = "must be set with the type Query, and only then";
pub(super) const BASIC_ONLY: &str = "is only for the type Basic";

fn rules() -> [Value; 3] {
    [
        rule_of(
            "header",
            "(self.type == 'Header') == has(self.header)",
            HEADER_ONLY,
        ),
        rule_of(
            "query",
            "(self.type == 'Query') == has(self.query)",
            QUERY_ONLY,
        ),
        rule_of(
            "basic",
            "self.type == 'Basic' || !has(self.basic)",
            BASIC_ONLY,
        ),
    ]
}

impl Injection {
    /// The checked form, or notes of what is wrong. Whether `Basic` needs a user name, its source decides.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<CheckedInjection> {
        let at = |field: &str| format!("{path}.{field}");
        if self.basic.is_some() && self.injection_type != InjectionType::Basic {
            errors.add(at("basic"), BASIC_ONLY);
        }
        if self.header.is_some() && self.injection_type != InjectionType::Header {
            errors.add(at("header"), HEADER_ONLY);
        }
        if self.query.is_some() && self.injection_type != InjectionType::Query {
            errors.add(at("query"), QUERY_ONLY);
        }
        match (self.injection_type, &self.header, &self.query) {
            (InjectionType::Bearer, _, _) => Some(CheckedInjection::Bearer),
            (InjectionType::Basic, _, _) => Some(CheckedInjection::Basic {
                username: self.basic.as_ref().map(|basic| basic.username.clone()),
            }),
            (InjectionType::Header, Some(header), _) => Some(CheckedInjection::Header {
                name: errors.keep(at("header.name"), header.name.parse())?,
                prefix: header.prefix.clone().unwrap_or_default(),
            }),
            (InjectionType::Query, _, Some(query)) => Some(CheckedInjection::Query {
                parameter: errors.keep(at("query.parameter"), query.parameter.parse())?,
            }),
            (InjectionType::Header, None, _) => {
                errors.add(at("header"), HEADER_ONLY);
                None
            }
            (InjectionType::Query, _, None) => {
                errors.add(at("query"), QUERY_ONLY);
                None
            }
        }
    }
}

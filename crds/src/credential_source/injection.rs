//! How a credential is put into a request.

use lanyard_access::credential::Injection as CheckedInjection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a credential is put into a request.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    /// The way. `Bearer`: as the header `Authorization: Bearer CREDENTIAL` (RFC 6750). What the agent
    /// itself wrote there is removed.
    #[serde(rename = "type")]
    pub injection_type: InjectionType,
}

/// The ways to put a credential into a request.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InjectionType {
    /// As the header `Authorization: Bearer CREDENTIAL` (RFC 6750).
    Bearer,
}

impl From<InjectionType> for CheckedInjection {
    fn from(injection_type: InjectionType) -> Self {
        match injection_type {
            InjectionType::Bearer => Self::Bearer,
        }
    }
}

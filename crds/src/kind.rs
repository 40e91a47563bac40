//! The kinds of object that users write.

use std::fmt;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;

use crate::{
    access_grant::AccessGrant, agent_identity::AgentIdentity, condition::ConditionDoc,
    credential_source::CredentialSource,
};

/// One kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Who an agent is.
    AgentIdentity,
    /// One time-bound permission.
    AccessGrant,
    /// Where a credential comes from.
    CredentialSource,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [
        Self::AgentIdentity,
        Self::AccessGrant,
        Self::CredentialSource,
    ];

    /// The kind of that name, as manifests write it.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name, as manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentIdentity => "AgentIdentity",
            Self::AccessGrant => "AccessGrant",
            Self::CredentialSource => "CredentialSource",
        }
    }

    /// What the API server is told of this kind.
    pub fn definition(self) -> CustomResourceDefinition {
        let mut definition = match self {
            Self::AgentIdentity => AgentIdentity::crd(),
            Self::AccessGrant => AccessGrant::crd(),
            Self::CredentialSource => CredentialSource::crd(),
        };
        let versions = definition.spec.versions.iter_mut();
        for schema in versions.filter_map(|version| version.schema.as_mut()) {
            schema.open_api_v3_schema.iter_mut().for_each(tidy);
        }
        definition
    }

    /// The conditions that objects of this kind have, and what each means.
    pub fn conditions(self) -> Vec<ConditionDoc> {
        match self {
            Self::AgentIdentity => crate::agent_identity::status::conditions(),
            Self::AccessGrant => crate::access_grant::status::conditions(),
            Self::CredentialSource => crate::credential_source::status::conditions(),
        }
    }
}

/// Joins the lines of descriptions into paragraphs, which `kubectl explain` breaks anew, and refuses
/// `null` where nothing is written: the API server drops it before it fills in defaults.
fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.take().map(|text| joined(&text));
    let properties = schema
        .properties
        .iter_mut()
        .flat_map(|map| map.values_mut());
    properties.for_each(tidy);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
}

fn joined(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    for line in text.lines() {
        let goes_on = !joined.is_empty() && !joined.ends_with('\n');
        let starts_anew = line.is_empty() || line.starts_with("- ");
        match (goes_on, starts_anew) {
            (true, true) => joined.push('\n'),
            (true, false) => joined.push(' '),
            (false, _) => {}
        }
        joined.push_str(line);
        if line.is_empty() {
            joined.push('\n');
        }
    }
    joined
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

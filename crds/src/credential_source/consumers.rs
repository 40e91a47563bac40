//! Whose grants may have a credential used: consent stands with the credential's owner.

use lanyard_access::credential::Consumers;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::FieldErrors;

/// Whose `AccessGrants` may have a credential used.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedConsumers {
    /// Namespaces beside the credential's own, which always may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::text::namespaces")]
    pub namespaces: Vec<String>,
    /// The names of the `AgentIdentities` that may, in any allowed namespace. Without it, all may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::text::object_names")]
    pub identities: Vec<String>,
}

impl AllowedConsumers {
    /// The checked form of each entry that is in order; the others are noted.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Consumers {
        let namespaces = self.namespaces.iter().enumerate();
        let namespaces = namespaces.filter_map(|(index, name)| {
            errors.keep(format!("{path}.namespaces[{index}]"), name.parse())
        });
        let namespaces = namespaces.collect();
        let identities = self.identities.iter().enumerate();
        let identities = identities.filter_map(|(index, name)| {
            errors.keep(format!("{path}.identities[{index}]"), name.parse())
        });
        Consumers {
            namespaces,
            identities: identities.collect(),
        }
    }
}

//! What a grant refers to.

use lanyard_access::object::{Namespace, ObjectKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{field::FieldErrors, rule::fixed};

/// Names an AgentIdentity in the grant's own namespace.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [fixed()]))]
pub struct IdentityRef {
    /// The name of the AgentIdentity, which must stand in the namespace of the grant.
    #[schemars(schema_with = "crate::text::object_name")]
    pub name: String,
}

/// Names a CredentialSource.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialRef {
    /// The name of the CredentialSource.
    #[schemars(schema_with = "crate::text::object_name")]
    pub name: String,
    /// The namespace of the CredentialSource; without it, the namespace of the grant. Its owner must
    /// list this grant's namespace under allowedConsumers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::label_name")]
    pub namespace: Option<String>,
}

impl CredentialRef {
    /// The key of the source, for a grant that stands in `own`.
    pub(super) fn check(
        &self,
        own: Option<&Namespace>,
        path: &str,
        errors: &mut FieldErrors,
    ) -> Option<ObjectKey> {
        let name = errors.keep(format!("{path}.name"), self.name.parse());
        let namespace = match &self.namespace {
            Some(written) => errors.keep(format!("{path}.namespace"), written.parse()),
            None => own.cloned(),
        };
        Some(ObjectKey {
            namespace: namespace?,
            name: name?,
        })
    }
}

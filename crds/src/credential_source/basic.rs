//! Fixed pairs of user name and password.

use lanyard_access::credential::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::FieldErrors;

/// A Secret in the namespace of the CredentialSource with the keys `username` and `password`, as a Secret of
/// the type kubernetes.io/basic-auth has them.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicRef {
    /// The name of the Secret, which must stand in the namespace of the CredentialSource. With
    /// `lanyard up`, /etc/lanyard/local.yaml says which files hold its two keys.
    #[schemars(schema_with = "crate::text::object_name")]
    pub name: String,
}

impl BasicRef {
    /// The checked form, or notes of what is wrong.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<Source> {
        let name = errors.keep(format!("{path}.name"), self.name.parse())?;
        Some(Source::Basic { name })
    }
}

//! Fixed secrets.

use lanyard_access::credential::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::FieldErrors;

/// One key of a Secret in the namespace of the CredentialSource.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The name of the Secret, which must stand in the namespace of the CredentialSource. With
    /// `lanyard up`, /etc/lanyard/local.yaml says which file holds it.
    #[schemars(schema_with = "crate::text::object_name")]
    pub name: String,
    /// The key within the Secret.
    #[schemars(schema_with = "crate::text::secret_key")]
    pub key: String,
}

impl SecretKeyRef {
    /// The checked form, or notes of what is wrong.
    pub(super) fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<Source> {
        let name = errors.keep(format!("{path}.name"), self.name.parse());
        let key = errors.keep(format!("{path}.key"), check_secret_key(&self.key));
        Some(Source::SecretKey {
            name: name?,
            key: key?,
        })
    }
}

/// A key within a secret, as Kubernetes allows it.
pub(crate) fn check_secret_key(key: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if key.is_empty() || key.len() > 253 || !key.bytes().all(allowed) {
        return Err(format!(
            "`{key}` is not a key of a secret; use letters, digits, -, _ and ., at most 253"
        ));
    }
    Ok(key.to_owned())
}

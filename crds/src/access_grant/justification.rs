//! Why a grant is needed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why access is needed, in a person's words.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Justification {
    /// The reason, in a sentence.
    #[schemars(schema_with = "crate::text::sentence")]
    pub text: String,
    /// The ticket or incident it belongs to, for example INC-1234.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::reference")]
    pub ticket: Option<String>,
}

//! What Lanyard says about a `CredentialSource`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{AcceptedReason, ConditionDoc, ConditionType, documented};

documented! {
    /// Reasons of `Ready`.
    ReadyReason {
        /// It can be obtained.
        Available => "the credential can be obtained",
        /// Its secret does not exist.
        SecretNotFound => "the secret it names does not exist, or has no such key",
        /// `Accepted` is false.
        NotAccepted => "the object is not in order; see Accepted",
    }
}

/// What Lanyard says about a CredentialSource.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialSourceStatus {
    /// The metadata.generation this status is about. While it is lower than metadata.generation, the
    /// newest change has not been seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0))]
    pub observed_generation: Option<i64>,
    /// What is true of the object now, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        schema_with = "crate::condition::list",
        description = crate::condition::describe(&conditions())
    )]
    pub conditions: Vec<Condition>,
}

/// The conditions of a CredentialSource.
pub(crate) fn conditions() -> Vec<ConditionDoc> {
    vec![
        ConditionDoc {
            condition: ConditionType::Accepted,
            reasons: AcceptedReason::table(),
        },
        ConditionDoc {
            condition: ConditionType::Ready,
            reasons: ReadyReason::table(),
        },
    ]
}

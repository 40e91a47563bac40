//! What Lanyard says about an `AgentIdentity`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{AcceptedReason, ConditionDoc, ConditionType, documented};

documented! {
    /// Reasons of `Ready`.
    ReadyReason {
        /// Its processes are recognised.
        Attesting => "processes that match are recognised as this agent when they start",
        /// `Accepted` is false.
        NotAccepted => "the object is not in order; see Accepted",
    }
}

/// What Lanyard says about an AgentIdentity.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentIdentityStatus {
    /// The metadata.generation this status is about. While it is lower than metadata.generation, the
    /// newest change has not been seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The SPIFFE ID of the agent: `spiffe://TRUST_DOMAIN/ns/NAMESPACE/agent/NAME`.
    #[serde(default, rename = "spiffeID", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 2048))]
    pub spiffe_id: Option<String>,
    /// What is true of the object now, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        schema_with = "crate::condition::list",
        description = crate::condition::describe(&conditions())
    )]
    pub conditions: Vec<Condition>,
}

/// The conditions of an AgentIdentity.
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

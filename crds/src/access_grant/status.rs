//! What Lanyard says about an `AccessGrant`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use lanyard_access::reason::GrantReason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::{AcceptedReason, ConditionDoc, ConditionType, ReasonDoc, documented};

documented! {
    /// Reasons of `Ready` beside those of [`GrantReason`], which say where a grant stands that is in
    /// order.
    ReadyReason {
        /// `Accepted` is false.
        NotAccepted => "the object is not in order; see Accepted",
    }
}

documented! {
    /// Reasons of `Approved`.
    ApprovedReason {
        /// Nobody has to.
        NotRequired => "nobody has to approve it",
        /// It is.
        Approved => "it was approved",
        /// It is not yet.
        Pending => "it is not approved yet, or its approvals have run out",
        /// Somebody said no.
        Rejected => "it was rejected, or a policy denies it",
        /// Its requester may not grant it.
        RequesterNotAllowed => "who asked for it is not known, or may not grant it",
    }
}

documented! {
    /// Reasons of `Enforced`.
    EnforcedReason {
        /// All have.
        Acknowledged => "every node that runs the agent has acknowledged it",
        /// Some have not yet.
        Pending => "some nodes have not acknowledged it yet; the message says how many have",
        /// Some cannot.
        Failed => "some nodes could not put it into force; the message names at most five of them",
        /// There is none.
        NoNodes => "no pod of the agent runs on any node",
    }
}

/// What Lanyard says about an AccessGrant.
#[derive(JsonSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrantStatus {
    /// The metadata.generation this status is about. While it is lower than metadata.generation, the
    /// newest change has not been seen yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When the grant was first ready; `duration` counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::timestamp")]
    pub activated_at: Option<String>,
    /// When the access ends, or ended. It never moves later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::timestamp")]
    pub expires_at: Option<String>,
    /// What is true of the object now, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        schema_with = "crate::condition::list",
        description = crate::condition::describe(&conditions())
    )]
    pub conditions: Vec<Condition>,
}

/// The conditions of an AccessGrant.
pub(crate) fn conditions() -> Vec<ConditionDoc> {
    let standing = GrantReason::ALL.iter().map(|reason| ReasonDoc {
        name: reason.as_str(),
        meaning: reason.message(),
    });
    vec![
        ConditionDoc {
            condition: ConditionType::Accepted,
            reasons: AcceptedReason::table(),
        },
        ConditionDoc {
            condition: ConditionType::Approved,
            reasons: ApprovedReason::table(),
        },
        ConditionDoc {
            condition: ConditionType::Enforced,
            reasons: EnforcedReason::table(),
        },
        ConditionDoc {
            condition: ConditionType::Ready,
            reasons: standing.chain(ReadyReason::table()).collect(),
        },
    ]
}

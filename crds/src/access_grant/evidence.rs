//! The evidence a grant demands.

use lanyard_access::evidence::EvidenceLevel;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How well Lanyard knows that a process is the agent.
#[derive(JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// The very file that the process executes is listed in the AgentIdentity by path and digest.
    Image,
    /// The process descends, by a `children` rule, from one that is known by its file.
    Lineage,
    /// The process runs in the agent's scope.
    Scope,
}

impl Evidence {
    /// The checked form.
    pub(super) const fn level(self) -> EvidenceLevel {
        match self {
            Self::Image => EvidenceLevel::Image,
            Self::Lineage => EvidenceLevel::Lineage,
            Self::Scope => EvidenceLevel::Scope,
        }
    }
}

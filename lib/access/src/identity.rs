//! An agent's identity, checked.

use crate::{
    evidence::EvidenceLevel,
    object::{ObjectKey, Uid},
    process::ProcessSelector,
};

/// Who an agent is: the checked form of an `AgentIdentity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Namespace and name.
    pub key: ObjectKey,
    /// This life of the object.
    pub uid: Uid,
    /// Executed files that are the agent; empty when the scope alone is the evidence.
    pub processes: Vec<ProcessSelector>,
}

impl Identity {
    /// The level a grant demands when it names none: `Image` when processes are listed, else `Scope`.
    pub fn default_requirement(&self) -> EvidenceLevel {
        if self.processes.is_empty() {
            EvidenceLevel::Scope
        } else {
            EvidenceLevel::Image
        }
    }

    /// The highest level a process of this identity can reach.
    pub fn highest_level(&self) -> EvidenceLevel {
        self.default_requirement()
    }
}

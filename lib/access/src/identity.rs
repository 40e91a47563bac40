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
    /// Whether what is not granted is refused.
    pub enforcement: Enforcement,
    /// Who may look into its processes.
    pub process_access: ProcessAccess,
}

/// Whether what is not granted is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused.
    #[default]
    Enforce,
    /// It is let pass and remembered.
    Observe,
}

/// Whether processes of an agent may be traced, as debuggers do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProcessAccess {
    /// A traced process has no identity, and processes of the scope cannot trace each other.
    #[default]
    None,
    /// A traced process has at most the level `Scope`, and processes of the scope may trace each other.
    Debug,
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

//! How strictly an agent is held.

use lanyard_access::identity::{Enforcement as CheckedEnforcement, ProcessAccess as CheckedAccess};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether what is not granted is refused.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// What is not granted is refused.
    #[default]
    Enforce,
    /// Nothing is refused; what would have been is recorded.
    Observe,
}

/// Whether processes of an agent may be traced, as debuggers do.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessAccess {
    /// They may not.
    #[default]
    None,
    /// They may, by each other.
    Debug,
}

impl From<Enforcement> for CheckedEnforcement {
    fn from(enforcement: Enforcement) -> Self {
        match enforcement {
            Enforcement::Enforce => Self::Enforce,
            Enforcement::Observe => Self::Observe,
        }
    }
}

impl From<ProcessAccess> for CheckedAccess {
    fn from(access: ProcessAccess) -> Self {
        match access {
            ProcessAccess::None => Self::None,
            ProcessAccess::Debug => Self::Debug,
        }
    }
}

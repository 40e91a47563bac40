//! How well the kernel knows that a process is the agent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Levels of evidence, weakest first, so that `level >= required` is the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EvidenceLevel {
    /// Some process of the agent's scope.
    Scope,
    /// A descendant, by the `children` rule, of an image-attested root.
    Lineage,
    /// This very executed file is listed by path and digest.
    Image,
}

impl EvidenceLevel {
    /// Every level, weakest first.
    pub const ALL: [Self; 3] = [Self::Scope, Self::Lineage, Self::Image];
}

impl fmt::Display for EvidenceLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Scope => "Scope",
            Self::Lineage => "Lineage",
            Self::Image => "Image",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ordered_from_weak_to_strong() {
        assert!(EvidenceLevel::ALL.is_sorted());
        assert!(EvidenceLevel::Image > EvidenceLevel::Scope);
    }
}

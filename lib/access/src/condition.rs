//! Conditions of a grant: expressions that are true of the requests it allows.
//!
//! The language is CEL (<https://cel.dev>), as Kubernetes has it in its own objects. Of it, an expression has
//! what can be decided in little time whatever a request says: see [`Expression`].

mod arguments;
mod evaluate;
mod expression;
mod inspect;

use serde::{Deserialize, Serialize};

pub(crate) use self::evaluate::{Facts, refusal_of};
pub use self::expression::{Expression, ParseExpressionError};
use self::inspect::Subject;

/// One condition of a grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// What has to be true.
    pub expression: Expression,
    /// What a refusal says, in the words of who wrote the grant.
    pub message: Option<String>,
}

#[cfg(test)]
mod tests;

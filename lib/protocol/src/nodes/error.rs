//! Why a message of operator or node is not understood.

use lanyard_access::{
    object::{ObjectKey, ParseNameError, ParseObjectKeyError},
    process::ParsePathError,
    spiffe_id::ParseSpiffeIdError,
};
use thiserror::Error;

use crate::granted::GrantError;

/// Why a message is not understood. Nothing of it holds then.
#[derive(Debug, Error)]
pub enum NodesError {
    /// A key is none.
    #[error("a key of the {1} is none: {0}")]
    Key(ParseObjectKeyError, &'static str),
    /// A name is none.
    #[error("the {1} is none: {0}")]
    Name(ParseNameError, &'static str),
    /// A path is none.
    #[error("a listed file: {0}")]
    Path(ParsePathError),
    /// The agent's SPIFFE ID is none.
    #[error("an agent's SPIFFE ID: {0}")]
    SpiffeId(ParseSpiffeIdError),
    /// A grant is none.
    #[error("a grant of {agent}: {error}")]
    Grant {
        /// Whose.
        agent: ObjectKey,
        /// What is wrong with it.
        error: GrantError,
    },
    /// Something is missing or unknown.
    #[error("the {0} is missing or unknown")]
    Field(&'static str),
    /// Something is said twice, or both written and gone.
    #[error("the {0} are not told apart, or not in order")]
    Order(&'static str),
    /// A delta that changes nothing known, or goes backwards.
    #[error("the delta cannot follow what it says it changes")]
    Base,
}

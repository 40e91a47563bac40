//! What only a trusted place may do: obtain credentials from their sources.
//!
//! Each kind of source is one file and one implementation of [`Source`].

pub mod secret;
pub mod secret_key;

use thiserror::Error;

pub use crate::secret::Secret;
use crate::secret_key::SecretFileError;

/// Where a credential comes from.
pub trait Source {
    /// Obtains the credential as it is now.
    fn obtain(&self) -> Result<Secret, ObtainError>;
}

/// Why a credential could not be obtained.
#[derive(Debug, Error)]
pub enum ObtainError {
    /// The file of a static secret was not accepted.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
}

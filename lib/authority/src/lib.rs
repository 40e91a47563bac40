//! What only a trusted place may do: obtain credentials from their sources.
//!
//! Each kind of source is one file and one implementation of [`Source`]. Where on a machine a static secret
//! rests is a file each as well: [`secret_file`] and [`secret_command`].

pub mod basic;
pub mod credential;
pub mod secret;
pub mod secret_command;
pub mod secret_file;
pub mod secret_key;

use thiserror::Error;

pub use crate::{credential::Credential, secret::Secret};
use crate::{secret_command::SecretCommandError, secret_file::SecretFileError};

/// Where a credential comes from.
pub trait Source: Send {
    /// Obtains the credential as it is now. May block.
    fn obtain(&self) -> Result<Credential, ObtainError>;
}

/// Why a credential could not be obtained. The secret is in none of these.
#[derive(Debug, Error)]
pub enum ObtainError {
    /// The file of a static secret was not accepted.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// The program that prints a static secret failed.
    #[error(transparent)]
    SecretCommand(#[from] SecretCommandError),
    /// A user name that cannot be one.
    #[error("the user name has a colon, a control character, or is not ASCII (RFC 7617)")]
    UserName,
}

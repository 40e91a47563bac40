//! `SecretKey`: one static secret, wherever it rests on this machine.

use crate::{
    Credential, ObtainError, Secret, Source, secret_command::SecretCommand, secret_file::SecretFile,
};

/// Where a static secret rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In a file.
    File(SecretFile),
    /// With a program that prints it.
    Command(SecretCommand),
}

impl SecretPlace {
    pub(crate) fn read(&self) -> Result<Secret, ObtainError> {
        match self {
            Self::File(file) => Ok(file.read()?),
            Self::Command(command) => Ok(command.run()?),
        }
    }
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey(pub SecretPlace);

impl Source for SecretKey {
    fn obtain(&self) -> Result<Credential, ObtainError> {
        Ok(Credential {
            username: None,
            secret: self.0.read()?,
        })
    }
}

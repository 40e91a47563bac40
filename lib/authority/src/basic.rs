//! `Basic`: a static user name and password (RFC 7617).

use crate::{Credential, ObtainError, Source, secret_key::SecretPlace};

/// A user name and a password, each in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basic {
    /// Where the user name is.
    pub username: SecretPlace,
    /// Where the password is.
    pub password: SecretPlace,
}

impl Source for Basic {
    fn obtain(&self) -> Result<Credential, ObtainError> {
        let username = self.username.read()?;
        let username = std::str::from_utf8(username.reveal())
            .ok()
            .filter(|name| is_user_name(name))
            .ok_or(ObtainError::UserName)?;
        Ok(Credential {
            username: Some(username.to_owned()),
            secret: self.password.read()?,
        })
    }
}

/// A colon would end it early (RFC 7617, 2).
fn is_user_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| (byte == b' ' || byte.is_ascii_graphic()) && byte != b':')
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;
    use crate::secret_file::SecretFile;

    fn place(folder: &Path, name: &str, content: &str) -> SecretPlace {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        SecretPlace::File(SecretFile::of_this_user(path))
    }

    fn obtained(username: &str) -> Result<Credential, ObtainError> {
        let folder = tempfile::tempdir().unwrap();
        let source = Basic {
            username: place(folder.path(), "username", username),
            password: place(folder.path(), "password", "s3cret\n"),
        };
        source.obtain()
    }

    #[test]
    fn both_halves_are_read() {
        let credential = obtained("x-access-token\n").unwrap();
        assert_eq!(credential.username.as_deref(), Some("x-access-token"));
        assert_eq!(credential.secret.reveal(), b"s3cret");
    }

    #[test]
    fn a_user_name_that_would_end_early_is_refused() {
        for bad in ["a:b", "a\tb", "ü"] {
            assert!(matches!(obtained(bad), Err(ObtainError::UserName)), "{bad}");
        }
    }
}

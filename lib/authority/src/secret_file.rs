//! A static secret in a file that only root can read.

use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
};

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Secret;

/// Longest secret, in bytes.
pub const LONGEST: u64 = 64 * 1024;

/// A secret's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile {
    file: PathBuf,
    owner: u32,
}

/// Why the file is not accepted. The secret is not in any of these.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// It could not be opened or read.
    #[error("read the secret file {path}: {source}")]
    Read {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a pipe, a device.
    #[error("the secret file {0} is not a plain file")]
    NotAFile(PathBuf),
    /// Others can read or change it.
    #[error("the secret file {path} has mode {mode:o} and owner {owner}; only its owner may have rights: chown root {path} && chmod 600 {path}", path = .path.display())]
    NotPrivate {
        /// Its path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// It has nothing in it, or more than any secret has.
    #[error("the secret file {0} is empty or longer than 64 KiB")]
    Length(PathBuf),
}

impl SecretFile {
    /// The secret in `file`, which root must own.
    pub fn of_root(file: PathBuf) -> Self {
        Self { file, owner: 0 }
    }

    #[cfg(test)]
    pub(crate) fn of_this_user(file: PathBuf) -> Self {
        let owner = rustix::process::geteuid().as_raw();
        Self { file, owner }
    }

    pub(crate) fn read(&self) -> Result<Secret, SecretFileError> {
        let failed = |source: io::Error| SecretFileError::Read {
            path: self.file.clone(),
            source,
        };
        // Not through a symbolic link at the last step, and never waiting for a pipe's other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let descriptor =
            open(&self.file, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let stat = fstat(&descriptor).map_err(|errno| failed(errno.into()))?;
        self.check(stat.st_mode, stat.st_uid)?;
        let length = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if length == 0 || length > LONGEST {
            return Err(SecretFileError::Length(self.file.clone()));
        }
        // Room for all of it at once: a growing vector would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            usize::try_from(LONGEST).unwrap_or(0) + 1,
        ));
        File::from(descriptor)
            .take(LONGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let bytes = without_line_ends(bytes);
        if bytes.is_empty() || bytes.len() as u64 > LONGEST {
            return Err(SecretFileError::Length(self.file.clone()));
        }
        Ok(Secret::new(bytes))
    }

    fn check(&self, mode: u32, owner: u32) -> Result<(), SecretFileError> {
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Err(SecretFileError::NotAFile(self.file.clone()));
        }
        let rights = mode & 0o7777;
        if rights & 0o077 != 0 || owner != self.owner {
            return Err(SecretFileError::NotPrivate {
                path: self.file.clone(),
                mode: rights,
                owner,
            });
        }
        Ok(())
    }
}

/// Editors and programs end a line that is no part of the secret.
pub(crate) fn without_line_ends(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    while bytes
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn file(contents: &[u8], mode: u32) -> (tempfile::TempDir, SecretFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let owner = rustix::process::geteuid().as_raw();
        (folder, SecretFile { file: path, owner })
    }

    #[test]
    fn a_private_file_gives_its_secret_without_the_line_end() {
        let (_folder, key) = file(b"s3cret\n", 0o600);
        assert_eq!(key.read().unwrap().reveal(), b"s3cret");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let (_folder, key) = file(b"s3cret", mode);
            let message = key.read().unwrap_err().to_string();
            assert!(
                message.contains("chmod 600") && !message.contains("s3cret"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_of_another_owner_is_refused() {
        let (_folder, key) = file(b"s3cret", 0o600);
        let key = SecretFile {
            owner: key.owner + 1,
            ..key
        };
        assert!(matches!(
            key.read(),
            Err(SecretFileError::NotPrivate { .. })
        ));
    }

    #[test]
    fn what_is_no_plain_file_or_empty_or_too_long_is_refused() {
        let (folder, key) = file(b"", 0o600);
        assert!(matches!(key.read(), Err(SecretFileError::Length(_))));
        let (_long_folder, long) = file(&vec![b'x'; 65 * 1024], 0o600);
        assert!(matches!(long.read(), Err(SecretFileError::Length(_))));
        let (_line_folder, line_ends) = file(b"\n\n", 0o600);
        assert!(matches!(line_ends.read(), Err(SecretFileError::Length(_))));
        let at = |file: PathBuf| SecretFile {
            file,
            owner: key.owner,
        };
        assert!(matches!(
            at(folder.path().to_owned()).read(),
            Err(SecretFileError::NotAFile(_))
        ));
        let link = folder.path().join("link");
        symlink(folder.path().join("token"), &link).unwrap();
        assert!(matches!(at(link).read(), Err(SecretFileError::Read { .. })));
        assert!(matches!(
            at(folder.path().join("none")).read(),
            Err(SecretFileError::Read { .. })
        ));
    }
}

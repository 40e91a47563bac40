//! Which file a command is, found as execvp(3) finds it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{self, Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{Access, Mode, OFlags},
    io::Errno,
};
use thiserror::Error;

/// Where execvp(3) of glibc searches when PATH is not set.
const WITHOUT_PATH: &str = "/bin:/usr/bin";

/// Why a command cannot be executed.
#[derive(Debug, Error)]
pub(crate) enum CommandError {
    #[error("the command `{name}` was not found", name = .0.display())]
    NotFound(OsString),
    #[error("the command {path} cannot be executed: {reason}", path = .path.display())]
    NotExecutable { path: PathBuf, reason: Reason },
}

/// Why a file cannot be executed.
#[derive(Debug, Error)]
pub(crate) enum Reason {
    #[error("it is a folder")]
    Folder,
    #[error("its name is not UTF-8, so that no record can hold it")]
    NotUtf8,
    #[error("{0}")]
    System(Errno),
}

impl CommandError {
    /// What shells answer.
    pub(crate) const fn status(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable { .. } => 126,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound(name) if name.as_bytes().contains(&b'/') => None,
            Self::NotFound(_) => Some(
                "it is in no folder of PATH; a command of this folder is written `./NAME`"
                    .to_owned(),
            ),
            Self::NotExecutable {
                path,
                reason: Reason::System(Errno::ACCESS),
            } => Some(format!(
                "if it is a program, `chmod +x {}` makes it executable",
                path.display()
            )),
            Self::NotExecutable { .. } => None,
        }
    }
}

/// A file that can be executed.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its absolute path, links in it kept.
    pub(crate) path: String,
    /// The file, opened for nothing but to say which it is (`O_PATH`).
    pub(crate) descriptor: OwnedFd,
}

/// Finds and opens the command `name`.
pub(crate) fn find(name: &OsStr, search_path: Option<&OsStr>) -> Result<Command, CommandError> {
    let found = search(name, search_path)?;
    open(&found).map_err(|reason| CommandError::NotExecutable {
        path: found,
        reason,
    })
}

/// The first candidate that can be executed. One that exists and cannot be is remembered, and is
/// the error if no other is found.
fn search(name: &OsStr, search_path: Option<&OsStr>) -> Result<PathBuf, CommandError> {
    let mut denied = None;
    for candidate in candidates(name, search_path) {
        match probe(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Reason::System(Errno::NOENT | Errno::NOTDIR)) => {}
            Err(reason) => {
                denied.get_or_insert((candidate, reason));
            }
        }
    }
    Err(match denied {
        Some((path, reason)) => CommandError::NotExecutable { path, reason },
        None => CommandError::NotFound(name.to_owned()),
    })
}

fn candidates(name: &OsStr, search_path: Option<&OsStr>) -> Vec<PathBuf> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.as_bytes().contains(&b'/') {
        return vec![PathBuf::from(name)];
    }
    search_path
        .unwrap_or(OsStr::new(WITHOUT_PATH))
        .as_bytes()
        .split(|byte| *byte == b':')
        // An empty element is the current folder.
        .map(|folder| match folder {
            [] => Path::new(".").join(name),
            _ => Path::new(OsStr::from_bytes(folder)).join(name),
        })
        .collect()
}

fn probe(path: &Path) -> Result<(), Reason> {
    rustix::fs::access(path, Access::EXEC_OK).map_err(Reason::System)?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(Reason::Folder),
        Ok(metadata) if !metadata.is_file() => Err(Reason::System(Errno::ACCESS)),
        Ok(_) => Ok(()),
        Err(error) => Err(Reason::System(
            Errno::from_io_error(&error).unwrap_or(Errno::IO),
        )),
    }
}

fn open(path: &Path) -> Result<Command, Reason> {
    let absolute = path::absolute(path)
        .map_err(|error| Reason::System(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let descriptor = rustix::fs::open(&absolute, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(Reason::System)?;
    let path = absolute.into_os_string();
    Ok(Command {
        path: path.into_string().map_err(|_| Reason::NotUtf8)?,
        descriptor,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[(&str, u32)]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for (name, mode) in files {
            let path = folder.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    fn search_path(folders: &[&TempDir]) -> OsString {
        std::env::join_paths(folders.iter().map(|folder| folder.path())).unwrap()
    }

    #[test]
    fn the_first_executable_file_of_path_wins() {
        let plain = folder(&[("tool", 0o644)]);
        fs::create_dir(plain.path().join("other")).unwrap();
        let good = folder(&[("tool", 0o755), ("other", 0o755)]);
        let path = search_path(&[&plain, &good]);
        for name in ["tool", "other"] {
            let found = find(OsStr::new(name), Some(&path)).unwrap();
            assert_eq!(Path::new(&found.path), good.path().join(name));
        }
    }

    #[test]
    fn a_file_that_is_not_executable_is_126_and_a_missing_one_127() {
        let plain = folder(&[("tool", 0o644)]);
        let path = search_path(&[&plain]);
        let error = find(OsStr::new("tool"), Some(&path)).unwrap_err();
        assert_eq!(error.status(), 126, "{error}");
        for missing in ["absent", "", "/absent/tool", "./absent"] {
            let error = find(OsStr::new(missing), Some(&path)).unwrap_err();
            assert_eq!(error.status(), 127, "{error}");
        }
        let error = find(plain.path().as_os_str(), None).unwrap_err();
        assert_eq!(error.status(), 126, "{error}");
    }

    #[test]
    fn an_empty_element_of_path_is_the_current_folder() {
        let found = candidates(OsStr::new("tool"), Some(OsStr::new(":/bin:")));
        assert_eq!(found, ["./tool", "/bin/tool", "./tool"].map(PathBuf::from));
    }

    #[test]
    fn a_name_with_a_slash_is_not_searched() {
        let found = candidates(OsStr::new("bin/tool"), Some(OsStr::new("/bin")));
        assert_eq!(found, [PathBuf::from("bin/tool")]);
    }
}

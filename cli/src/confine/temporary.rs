//! A folder for temporary files inside the project, for `/tmp` is shared with what runs outside.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, fchmod, fstat, mkdirat, open, openat},
    io::{Errno, write},
};
use thiserror::Error;

use super::{notice, surroundings::Surroundings};
use crate::args::Environment;

/// Its name in the project folder.
const NAME: &str = ".lanyard-tmp";

/// Caches that would lie in the home folder, where the tools fail without: the variable and its
/// folder below the temporary one.
const CACHES: [(&str, &str); 2] = [("GOCACHE", "go-build"), ("npm_config_cache", "npm")];

/// Why there is no folder for temporary files.
#[derive(Debug, Error)]
pub(crate) enum TemporaryError {
    #[error("the folder {path} for temporary files cannot be made: {source}", path = .path.display())]
    Make { path: PathBuf, source: Errno },
    #[error("{path} is no folder of yours", path = .path.display())]
    NotOwn { path: PathBuf },
}

impl TemporaryError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Make { .. } => None,
            Self::NotOwn { path } => Some(format!(
                "something else stands where temporary files would be: remove {}",
                path.display()
            )),
        }
    }
}

/// Makes the folder, and returns the variables that lead there.
pub(crate) fn make(
    surroundings: &Surroundings,
    environment: &Environment,
) -> Result<Vec<(&'static str, PathBuf)>, TemporaryError> {
    if is_inside(environment.folder("TMPDIR").as_deref(), surroundings) {
        return Ok(Vec::new());
    }
    let path = surroundings.project.join(NAME);
    match make_folder(&surroundings.project) {
        Ok(folder) => keep_out_of_git(&folder),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
            notice::warn("you cannot write in the current folder, so there are no temporary files");
            return Ok(Vec::new());
        }
        Err(Errno::EXIST | Errno::NOTDIR | Errno::LOOP) => {
            return Err(TemporaryError::NotOwn { path });
        }
        Err(source) => return Err(TemporaryError::Make { path, source }),
    }
    Ok(variables(path, environment))
}

/// Whether the caller's own folder for temporary files can be written anyway.
fn is_inside(folder: Option<&Path>, surroundings: &Surroundings) -> bool {
    let folder = folder.and_then(|folder| folder.canonicalize().ok());
    let mut writable = surroundings.allowed.iter().chain([&surroundings.project]);
    folder.is_some_and(|folder| writable.any(|path| folder.starts_with(path)))
}

fn variables(path: PathBuf, environment: &Environment) -> Vec<(&'static str, PathBuf)> {
    let caches = CACHES
        .iter()
        .filter(|(name, _)| environment.get(name).is_none())
        .map(|(name, folder)| (*name, path.join(folder)));
    let mut variables: Vec<_> = caches.collect();
    variables.push(("TMPDIR", path));
    variables
}

/// Makes or opens the folder. An agent that ran here before may have left a link to somewhere
/// else: it is not followed, and a folder of another user is not taken.
fn make_folder(project: &Path) -> Result<OwnedFd, Errno> {
    let as_folder = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let project = open(project, as_folder, Mode::empty())?;
    match mkdirat(&project, NAME, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let folder = openat(&project, NAME, as_folder, Mode::empty())?;
    if fstat(&folder)?.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Errno::EXIST);
    }
    fchmod(&folder, Mode::RWXU)?;
    Ok(folder)
}

/// A file that is there already, of whatever kind, is left alone.
fn keep_out_of_git(folder: &OwnedFd) {
    let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let name = OsStr::new(".gitignore");
    if let Ok(file) = openat(folder, name, create, Mode::from_raw_mode(0o644)) {
        // Without it git shows the folder, and nothing worse.
        let _ = write(file, b"*\n");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use tempfile::TempDir;

    use super::*;

    fn project() -> (TempDir, Surroundings) {
        let folder = TempDir::new().unwrap();
        let surroundings = Surroundings {
            project: folder.path().canonicalize().unwrap(),
            ..Surroundings::default()
        };
        (folder, surroundings)
    }

    fn environment(variables: &[(&str, &Path)]) -> Environment {
        variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    #[test]
    fn temporary_files_and_caches_are_in_a_private_folder_of_the_project() {
        let (folder, surroundings) = project();
        let set = environment(&[("TMPDIR", Path::new("/tmp")), ("GOCACHE", Path::new("/g"))]);
        for _ in 0..2 {
            let made = make(&surroundings, &set).unwrap();
            let names: Vec<_> = made.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, ["npm_config_cache", "TMPDIR"]);
            assert_eq!(made[1].1, surroundings.project.join(NAME));
        }
        let path = folder.path().join(NAME);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(fs::read_to_string(path.join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn a_folder_that_can_be_written_anyway_is_kept() {
        let (folder, surroundings) = project();
        let own = folder.path().join("t");
        fs::create_dir(&own).unwrap();
        assert!(
            make(&surroundings, &environment(&[("TMPDIR", &own)]))
                .unwrap()
                .is_empty()
        );
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_link_that_an_agent_left_is_not_followed() {
        let (folder, surroundings) = project();
        let victim = TempDir::new().unwrap();
        symlink(victim.path(), folder.path().join(NAME)).unwrap();
        let error = make(&surroundings, &Environment::default()).unwrap_err();
        assert!(matches!(error, TemporaryError::NotOwn { .. }), "{error}");
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }
}

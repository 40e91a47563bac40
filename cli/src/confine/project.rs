//! Which folders may be given to an agent to write in.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::surroundings::Surroundings;

/// What stands for kernel state; a write rule there would undo the confinement
/// (`/proc/PID/mem` is the memory of a process).
const KERNEL: [&str; 2] = ["/proc", "/sys"];

/// Why a folder is not given to an agent.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum FolderError {
    #[error("the current folder is {path}: all of it would be the agent's to write", path = .path.display())]
    ProjectTooWide { path: PathBuf },
    #[error("--allow-path or allowPaths names {path}: all of it would be the agent's to write", path = .path.display())]
    AllowedTooWide { path: PathBuf },
    #[error("--allow-path {path} cannot be opened: it does not exist", path = .path.display())]
    Absent { path: PathBuf },
}

impl FolderError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::ProjectTooWide { .. } => {
                "change into the folder of one project: the agent may write there, and nowhere else"
            }
            Self::AllowedTooWide { .. } => {
                "name what is needed inside it; your home folder as a whole has start-up files and \
                 credentials"
            }
            Self::Absent { .. } => "make it first, if it is meant",
        }
        .to_owned()
    }
}

/// Whether everything that would be writable may be.
pub(crate) fn check(surroundings: &Surroundings) -> Result<(), FolderError> {
    let homes: Vec<_> = surroundings.homes.iter().map(PathBuf::as_path).collect();
    if is_too_wide(&surroundings.project, &homes) {
        let path = surroundings.project.clone();
        return Err(FolderError::ProjectTooWide { path });
    }
    match surroundings
        .allowed
        .iter()
        .find(|path| is_too_wide(path, &homes))
    {
        Some(path) => Err(FolderError::AllowedTooWide { path: path.clone() }),
        None => Ok(()),
    }
}

/// The root, a home folder or what is above one, and kernel state.
fn is_too_wide(path: &Path, homes: &[&Path]) -> bool {
    path == Path::new("/")
        || homes.iter().any(|home| home.starts_with(path))
        || KERNEL.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(project: &str, allowed: &[&str]) -> Surroundings {
        Surroundings {
            project: project.into(),
            homes: vec!["/home/ann".into()],
            allowed: allowed.iter().map(PathBuf::from).collect(),
            ..Surroundings::default()
        }
    }

    #[test]
    fn a_project_is_never_a_home_folder_or_above_or_the_kernels() {
        for wide in ["/", "/home", "/home/ann", "/proc", "/proc/self", "/sys/fs"] {
            let error = check(&surroundings(wide, &[])).unwrap_err();
            assert_eq!(error, FolderError::ProjectTooWide { path: wide.into() });
        }
        for good in ["/home/ann/work", "/home/annette", "/srv", "/process"] {
            assert_eq!(check(&surroundings(good, &[])), Ok(()));
        }
    }

    #[test]
    fn an_allowed_path_is_held_to_the_same() {
        for wide in ["/", "/home/ann", "/proc/self/mem"] {
            let error = check(&surroundings("/srv/p", &["/dev/shm", wide])).unwrap_err();
            assert_eq!(error, FolderError::AllowedTooWide { path: wide.into() });
        }
        assert_eq!(
            check(&surroundings("/srv/p", &["/dev/shm", "/home/ann/.npm"])),
            Ok(())
        );
    }
}

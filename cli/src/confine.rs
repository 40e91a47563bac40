//! What `lanyard run` closes to itself between being admitted and executing the command: what is
//! executed, and all that it starts, inherits it and cannot take it off.
//!
//! `surroundings` gathers, `plan` and `system_calls` decide, `domain` (Landlock), `filter`
//! (seccomp) and `privilege` apply.

mod domain;
mod filter;
mod landlock_abi;
mod notice;
mod plan;
mod privilege;
mod program;
mod project;
mod surroundings;
mod system_calls;
mod temporary;
mod toolchain;
mod withheld;

use std::path::{Path, PathBuf};

use lanyard_protocol::control::Admitted;
use rustix::io::Errno;
use thiserror::Error;

use self::{
    domain::DomainError,
    filter::FilterError,
    project::FolderError,
    surroundings::{Surroundings, SurroundingsError},
    system_calls::Strictness,
    temporary::TemporaryError,
};
pub(crate) use self::{
    landlock_abi::{landlock_abi, landlock_gaps},
    program::{Program, ThirtyTwoBitError},
};
use crate::args::Environment;

/// Why a process could not be confined; the command is then not executed.
#[derive(Debug, Error)]
pub(crate) enum ConfineError {
    #[error("no_new_privs cannot be set: {0}")]
    NoNewPrivileges(Errno),
    #[error("the capabilities of this process cannot be given up: {0}")]
    Privilege(Errno),
    #[error("the local policy demands Landlock ABI {minimum}, and this kernel has {found}")]
    LandlockTooOld { minimum: u32, found: u32 },
    #[error(transparent)]
    Surroundings(#[from] SurroundingsError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Temporary(#[from] TemporaryError),
    #[error(transparent)]
    Domain(#[from] DomainError),
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl ConfineError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::LandlockTooOld { .. } => Some(
                "run a newer kernel, or lower minimumLandlock in the local policy: \
                 `lanyard doctor` says what that leaves open"
                    .to_owned(),
            ),
            Self::Folder(error) => Some(error.hint()),
            Self::Temporary(error) => error.hint(),
            Self::NoNewPrivileges(_)
            | Self::Privilege(_)
            | Self::Surroundings(_)
            | Self::Domain(_)
            | Self::Filter(_) => None,
        }
    }
}

/// What the caller asks for beside what the node agent demands.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// The file that will be executed.
    pub(crate) program: &'a Program,
    /// What may be written beside the project folder.
    pub(crate) allowed_paths: &'a [PathBuf],
    /// Where the node agent's socket and the trust bundle are.
    pub(crate) node_folder: &'a Path,
    pub(crate) environment: &'a Environment,
}

/// Confines this process as the node agent demands. Returns the variables that the command needs
/// because of it.
pub(crate) fn confine(
    admitted: &Admitted,
    asked: &Asked<'_>,
) -> Result<Vec<(&'static str, PathBuf)>, ConfineError> {
    rustix::thread::set_no_new_privs(true).map_err(ConfineError::NoNewPrivileges)?;
    if admitted.observed {
        filter::apply(Strictness::Observe)?;
        return Ok(Vec::new());
    }
    let abi = landlock_abi();
    if abi < admitted.minimum_landlock {
        return Err(ConfineError::LandlockTooOld {
            minimum: admitted.minimum_landlock,
            found: abi,
        });
    }
    let surroundings = Surroundings::gather(admitted, asked)?;
    project::check(&surroundings)?;
    let variables = temporary::make(&surroundings, asked.environment)?;
    privilege::give_up().map_err(ConfineError::Privilege)?;
    domain::enter(&plan::rules(&surroundings))?;
    // Last, for it refuses some of what was just done.
    filter::apply(if admitted.debug {
        Strictness::Debug
    } else {
        Strictness::Enforce
    })?;
    if let Some(text) = landlock_abi::degraded(abi) {
        notice::warn(&text);
    }
    Ok(variables)
}

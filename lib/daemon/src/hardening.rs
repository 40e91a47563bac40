//! What the process gives up before it meets anything secret.

use rustix::{
    io,
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
    thread::set_no_new_privs,
};
use thiserror::Error;

/// Why the process could not be made safe.
#[derive(Debug, Error)]
pub enum HardenError {
    /// Other processes of the user could look into it.
    #[error("forbid memory dumps: {0}")]
    Dumpable(io::Errno),
    /// It could gain rights by executing something.
    #[error("forbid new privileges: {0}")]
    NewPrivileges(io::Errno),
    /// A crash could write its memory to a disk.
    #[error("forbid core files: {0}")]
    CoreFiles(io::Errno),
}

/// Forbids core files, dumps, being traced by others of the same user, and new privileges.
pub fn harden() -> Result<(), HardenError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardenError::Dumpable)?;
    set_no_new_privs(true).map_err(HardenError::NewPrivileges)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(HardenError::CoreFiles)?;
    raise_open_files();
    Ok(())
}

/// Keeps memory from being swapped, where that is allowed without a limit: with one, locking what is still
/// to come would make later allocations fail.
pub fn lock_memory() {
    if getrlimit(Resource::Memlock).current.is_some() {
        tracing::debug!("memory is not locked: RLIMIT_MEMLOCK is limited");
        return;
    }
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(all) {
        tracing::debug!(%error, "memory is not locked");
    }
}

/// Lets the process have no more memory of its own than that, nor raise it again: what is private and can be written.
pub fn bound_memory(most: u64) -> Result<(), io::Errno> {
    let most = Some(
        getrlimit(Resource::Data)
            .maximum
            .map_or(most, |own| own.min(most)),
    );
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Data, limit)
}

/// Each connection has up to three descriptors.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

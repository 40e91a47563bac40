//! A scope's cgroup, in a subtree that only root writes.

use std::{
    fs, io,
    os::{fd::BorrowedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};
use thiserror::Error;

/// Why a cgroup is not as it must be.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// The system refused.
    #[error("{attempt} the cgroup {path}: {source}", path = .path.display())]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The process ended while it was moved: its number may be another's by now.
    #[error("the process ended before it was in its scope")]
    Gone,
}

/// A cgroup and its id, by which the kernel programs know it.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
    id: u64,
}

impl Cgroup {
    /// Makes it, or takes it up if it is there.
    pub fn make(path: &Path) -> Result<Self, CgroupError> {
        match fs::create_dir(path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(system("make", path, source));
            }
            _ => {}
        }
        // In cgroup v2 the inode number of the folder is the id that bpf_get_current_cgroup_id() returns.
        let id = fs::metadata(path)
            .map_err(|source| system("look at", path, source))?
            .ino();
        Ok(Self {
            path: path.to_owned(),
            id,
        })
    }

    /// The id.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Moves a process in. `process` is a pidfd of `pid`, taken from its socket: alive after the move means
    /// that the number was its own all the time.
    pub fn admit(&self, pid: u32, process: BorrowedFd<'_>) -> Result<(), CgroupError> {
        self.write("cgroup.procs", &pid.to_string(), "move a process into")?;
        let mut polled = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A signal, of a broker that ended, may interrupt even a poll that does not wait.
        match retry_on_intr(|| poll(&mut polled, Some(&at_once))) {
            Ok(0) => Ok(()),
            _ => Err(CgroupError::Gone),
        }
    }

    /// Whether any process is in it or below.
    pub fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events"));
        // Unsure means yes: a scope that may have processes is not forgotten.
        events.map_or(true, |events| {
            events.lines().any(|line| line == "populated 1")
        })
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Ends every process in it.
    pub fn kill(&self) -> Result<(), CgroupError> {
        self.write("cgroup.kill", "1", "end the processes of")
    }

    /// Removes it; it must be empty.
    pub fn remove(&self) -> Result<(), CgroupError> {
        match fs::remove_dir(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(system("remove", &self.path, source))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, file: &str, text: &str, attempt: &'static str) -> Result<(), CgroupError> {
        fs::write(self.path.join(file), text).map_err(|source| system(attempt, &self.path, source))
    }
}

fn system(attempt: &'static str, path: &Path, source: io::Error) -> CgroupError {
    CgroupError::System {
        attempt,
        path: path.to_owned(),
        source,
    }
}

//! The folders of one node.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why a folder is not as it must be.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The system refused.
    #[error("{attempt} {path}: {source}", path = .path.display())]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No cgroup v2 hierarchy.
    #[error(
        "no cgroup v2 hierarchy is mounted at /sys/fs/cgroup or /sys/fs/cgroup/unified; mount one with: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
    )]
    NoCgroup2,
}

/// Where one node keeps what.
#[derive(Debug, Clone)]
pub struct Place {
    /// The node's name.
    pub node: String,
    /// Cgroup v2 folder below which programs are attached.
    pub attach_root: PathBuf,
    /// The node's own cgroup, below which each scope of `lanyard run` has one.
    pub cgroup: PathBuf,
    /// The cgroup below which the kubelet of this node makes those of pods.
    pub kubelet_root: PathBuf,
    /// What ends with a restart of the machine.
    pub run: PathBuf,
    /// What is kept.
    pub state: PathBuf,
}

impl Place {
    /// As [`Self::find`], with the cgroup that scopes of `lanyard run` are in.
    pub fn prepare(arguments: &crate::args::Place) -> Result<Self, PlaceError> {
        let place = Self::find(arguments)?;
        make(&place.cgroup, 0o755)?;
        Ok(place)
    }

    /// Makes the folders that are missing. Nobody but root enters the state.
    pub fn find(arguments: &crate::args::Place) -> Result<Self, PlaceError> {
        let attach_root = match &arguments.attach_root {
            Some(root) => root.clone(),
            None => cgroup2_root()?,
        };
        let place = Self {
            node: arguments.node.clone(),
            cgroup: attach_root.join("lanyard").join(&arguments.node),
            kubelet_root: attach_root.clone(),
            run: arguments.run_dir.join(&arguments.node),
            state: arguments.state.clone(),
            attach_root,
        };
        make(&place.run.join("scopes"), 0o755)?;
        make(&place.state.join("scopes"), 0o700)?;
        let private = fs::set_permissions(&place.state, fs::Permissions::from_mode(0o700));
        private.map_err(|source| system("close", &place.state, source))?;
        Ok(place)
    }

    /// The control socket.
    pub fn control_socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// The record.
    pub fn record(&self) -> PathBuf {
        self.state.join("record.jsonl")
    }

    /// What is kept of grants and scopes.
    pub fn kept(&self) -> PathBuf {
        self.state.join("state.json")
    }

    /// The objects that were applied, a file each.
    pub fn objects(&self) -> PathBuf {
        self.state.join("objects")
    }

    /// What the files of `lanyard up` said when they were last good.
    pub fn last_good(&self) -> PathBuf {
        self.state.join("manifests.json")
    }

    /// What observed agents did.
    pub fn observed(&self) -> PathBuf {
        self.state.join("observed.json")
    }

    /// Removes what a node leaves when its enforcement has ended. Records stay.
    pub fn clear(&self) -> Result<(), PlaceError> {
        fs::remove_dir_all(&self.run).map_err(|source| system("remove", &self.run, source))?;
        // Another node's cgroup may stand beside this one.
        for folder in [Some(self.cgroup.as_path()), self.cgroup.parent()]
            .into_iter()
            .flatten()
        {
            match fs::remove_dir(folder) {
                Err(source) if !is_in_use(&source) => return Err(system("remove", folder, source)),
                _ => {}
            }
        }
        if let Some(parent) = self.run.parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }
}

fn is_in_use(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound | io::ErrorKind::ResourceBusy
    )
}

fn make(folder: &Path, mode: u32) -> Result<(), PlaceError> {
    let result = fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder);
    result.map_err(|source| system("make", folder, source))
}

fn cgroup2_root() -> Result<PathBuf, PlaceError> {
    // CGROUP2_SUPER_MAGIC, include/uapi/linux/magic.h
    const MAGIC: u64 = 0x6367_7270;
    let is_cgroup2 = |path: &&str| {
        rustix::fs::statfs(*path).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(MAGIC))
    };
    let found = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(is_cgroup2);
    found.map(PathBuf::from).ok_or(PlaceError::NoCgroup2)
}

fn system(attempt: &'static str, path: &Path, source: io::Error) -> PlaceError {
    PlaceError::System {
        attempt,
        path: path.to_owned(),
        source,
    }
}

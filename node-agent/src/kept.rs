//! What outlives the node agent: the past of grants, deadlines within this boot, and the scopes that run.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use lanyard_access::{
    compile::History,
    digest::Sha256Digest,
    object::{ObjectKey, Uid},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{deadline::Deadlines, names::Names, scope::pod::Pod};

/// The form of the file. Another one is refused.
const FORMAT: u32 = 1;

/// Why what is kept cannot be read or written.
#[derive(Debug, Error)]
pub enum KeptError {
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
    /// The file is not what was written.
    #[error("{path} is damaged or of another version: {message}; grants that ended could begin again without it. Move it away to start with a clean past", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    format: u32,
    /// Which boot of the machine the deadlines and scopes belong to.
    boot: String,
    /// What happened to grants.
    pub history: History,
    /// Lives of objects from files.
    pub lives: Vec<Life>,
    deadlines: Vec<(Uid, Sha256Digest, u64)>,
    /// The number of the last scope.
    pub last_scope: u32,
    /// Scopes that have processes.
    pub scopes: BTreeMap<u32, KeptScope>,
}

/// One object from files: what an API server would keep of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Life {
    /// The kind's name.
    pub kind: String,
    /// Namespace and name.
    pub key: ObjectKey,
    /// The uid it was given.
    pub uid: Uid,
    /// What its spec was when it was last read.
    pub spec_hash: Sha256Digest,
    /// Since when it is not written any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<Timestamp>,
}

/// What is needed to take a scope up again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeptScope {
    /// Its name.
    pub name: String,
    /// The agent that runs in it.
    pub agent: ObjectKey,
    /// The user that started it.
    pub uid: u32,
    /// Addresses of its names.
    pub names: Names,
    /// The pod whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// Whether that pod is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_released: bool,
}

impl Kept {
    /// Reads the file; a missing one is a first start. Deadlines and scopes of an earlier boot are dropped.
    pub fn read(path: &Path) -> Result<Self, KeptError> {
        let boot = boot_id()?;
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    format: FORMAT,
                    boot,
                    ..Self::default()
                });
            }
            Err(source) => return Err(system("read", path, source)),
        };
        let damaged = |message: String| KeptError::Damaged {
            path: path.to_owned(),
            message,
        };
        let mut kept: Self =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if kept.format != FORMAT {
            return Err(damaged(format!("format {}", kept.format)));
        }
        if kept.boot != boot {
            kept.boot = boot;
            kept.deadlines.clear();
            kept.scopes.clear();
        }
        Ok(kept)
    }

    /// Writes the file: whole, or not at all.
    pub fn write(&self, path: &Path) -> Result<(), KeptError> {
        let text = serde_json::to_vec(self).map_err(|error| system("write", path, error.into()))?;
        write_private(path, &text)
    }

    /// Deadlines of this boot.
    pub fn deadlines(&self) -> Deadlines {
        let spec =
            |(uid, hash, deadline): &(Uid, Sha256Digest, u64)| ((uid.clone(), *hash), *deadline);
        Deadlines::restore(self.deadlines.iter().map(spec))
    }

    /// Takes deadlines to be kept.
    pub fn set_deadlines(&mut self, deadlines: &Deadlines) {
        let all = deadlines.all().iter();
        self.deadlines = all
            .map(|((uid, hash), deadline)| (uid.clone(), *hash, *deadline))
            .collect();
    }
}

/// Writes a file that only its owner reads, so that after a crash it is the old one or the new one.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeptError> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| system("write", path, source))
}

fn boot_id() -> Result<String, KeptError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    let text = fs::read_to_string(path).map_err(|source| system("read", path, source))?;
    Ok(text.trim().to_owned())
}

fn system(attempt: &'static str, path: &Path, source: io::Error) -> KeptError {
    KeptError::System {
        attempt,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let mut deadlines = Deadlines::default();
        deadlines.bound(&(Uid::new("a"), Sha256Digest::new([0; 32])), 100);
        let scope = KeptScope {
            name: "bot-1".into(),
            agent: "bot".parse().unwrap(),
            uid: 1,
            names: Names::default(),
            pod: None,
            is_released: false,
        };
        let mut kept = Kept {
            format: FORMAT,
            boot: boot_id().unwrap(),
            ..Kept::default()
        };
        kept.scopes.insert(1, scope);
        kept.set_deadlines(&deadlines);
        kept
    }

    #[test]
    fn what_is_written_is_read_within_a_boot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        kept().write(&path).unwrap();
        let read = Kept::read(&path).unwrap();
        assert_eq!(read.scopes.len(), 1);
        assert_eq!(read.deadlines(), kept().deadlines());
    }

    #[test]
    fn deadlines_and_scopes_of_an_earlier_boot_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        Kept {
            boot: "earlier".into(),
            ..kept()
        }
        .write(&path)
        .unwrap();
        let read = Kept::read(&path).unwrap();
        assert!(read.scopes.is_empty() && read.deadlines().all().is_empty());
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for text in [
            "",
            "{",
            r#"{"format":2,"boot":"","history":{"lives":{},"over":[]},"lives":[],"deadlines":[],"lastScope":0,"scopes":{}}"#,
        ] {
            fs::write(&path, text).unwrap();
            assert!(
                matches!(Kept::read(&path), Err(KeptError::Damaged { .. })),
                "{text}"
            );
        }
    }
}

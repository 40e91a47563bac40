//! The log of a detached node agent: `node-agent.log` in its state folder.

use std::{
    collections::VecDeque,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
};

use thiserror::Error;

/// How many lines say enough of why it failed.
const LINES: usize = 15;

/// What could not be done with the log.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    #[error("the state folder {folder} cannot be made: {source}", folder = .folder.display())]
    MakeFolder { folder: PathBuf, source: io::Error },
    #[error("the log {path} cannot be opened: {source}", path = .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the log {path} cannot be read: {source}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl LogError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::MakeFolder { .. } | Self::Open { .. } => {
                Some("name a folder that root can write with --state".to_owned())
            }
            Self::Read { .. } => None,
        }
    }
}

/// The log, from where this start of the node agent begins in it.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    begin: u64,
}

impl Log {
    /// Opens the log for appending. Only root can read it, like all of the state.
    pub(super) fn open(folder: &Path) -> Result<Self, LogError> {
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| LogError::MakeFolder {
                folder: folder.to_owned(),
                source,
            })?;
        let path = folder.join("node-agent.log");
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let opened = options.open(&path).and_then(|file| {
            let begin = file.metadata()?.len();
            Ok((file, begin))
        });
        match opened {
            Ok((file, begin)) => Ok(Self { path, file, begin }),
            Err(source) => Err(LogError::Open { path, source }),
        }
    }

    /// What a child writes to.
    pub(super) fn writer(&self) -> Result<Stdio, LogError> {
        let file = self.file.try_clone().map_err(|source| LogError::Open {
            path: self.path.clone(),
            source,
        })?;
        Ok(file.into())
    }

    /// The last lines that were written since it was opened; each begins on a line of its own.
    pub(super) fn last_lines(&self) -> Result<String, LogError> {
        self.read_last_lines().map_err(|source| LogError::Read {
            path: self.path.clone(),
            source,
        })
    }

    fn read_last_lines(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.begin))?;
        let mut lines = VecDeque::new();
        for line in BufReader::new(file).split(b'\n') {
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(format!("\n  {}", String::from_utf8_lossy(&line?)));
        }
        Ok(lines.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, os::unix::fs::PermissionsExt};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_the_last_lines_of_this_start_are_shown() {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("a/state");
        fs::create_dir_all(&state).unwrap();
        fs::write(state.join("node-agent.log"), "of an earlier start\n").unwrap();
        let log = Log::open(&state).unwrap();
        assert_eq!(log.last_lines().unwrap(), "");
        for number in 0..20 {
            writeln!(&log.file, "line {number}").unwrap();
        }
        let shown = log.last_lines().unwrap();
        assert!(shown.starts_with("\n  line 5\n"), "{shown}");
        assert!(shown.ends_with("\n  line 19"), "{shown}");
    }

    #[test]
    fn the_log_and_its_folder_are_the_owners_alone() {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        Log::open(&state).unwrap();
        for (path, mode) in [
            (state.clone(), 0o700),
            (state.join("node-agent.log"), 0o600),
        ] {
            let found = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{}", path.display());
        }
    }
}

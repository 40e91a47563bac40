//! Manifests on disk, read again when they change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::ownership;
use lanyard_crds::{
    manifest::{self, Object},
    problem::Problem,
};

/// What tells one content of a file from another: the kernel changes the time of change with every write.
type Stamp = (u64, u64, u64, i64, i64);

/// The files and folders that were named at the start.
pub(super) struct Manifests {
    paths: Vec<PathBuf>,
    /// Whose files count.
    writers: BTreeSet<u32>,
    seen: Option<BTreeMap<PathBuf, Stamp>>,
}

impl Manifests {
    pub(super) fn new(paths: Vec<PathBuf>, writers: BTreeSet<u32>) -> Self {
        Self {
            paths,
            writers,
            seen: None,
        }
    }

    /// Everything that is written, if it changed since the last call; or every problem, a line each.
    pub(super) fn read(&mut self) -> Option<Result<Vec<Object>, Vec<String>>> {
        let files = match self.files() {
            Ok(files) => files,
            Err(problem) => {
                return self
                    .seen
                    .replace(BTreeMap::new())
                    .is_none_or(|seen| !seen.is_empty())
                    .then(|| Err(vec![problem]));
            }
        };
        if self.seen.as_ref() == Some(&files) {
            return None;
        }
        let foreign: Vec<String> = files
            .keys()
            .filter_map(|file| ownership::check(file, &self.writers).err())
            .collect();
        let read = read_all(files.keys());
        self.seen = Some(files);
        if !foreign.is_empty() {
            return Some(Err(foreign));
        }
        Some(read.map_err(|problems| problems.iter().map(ToString::to_string).collect()))
    }

    /// Makes the next call read everything, whether it changed or not.
    pub(super) fn look_again(&mut self) {
        self.seen = None;
    }

    fn files(&self) -> Result<BTreeMap<PathBuf, Stamp>, String> {
        let mut files = BTreeMap::new();
        for path in &self.paths {
            let failed = |error: io::Error| format!("{}: {error}", path.display());
            if fs::metadata(path).map_err(failed)?.is_dir() {
                for entry in fs::read_dir(path).map_err(failed)? {
                    let file = entry.map_err(failed)?.path();
                    if is_manifest(&file) {
                        files.insert(file.clone(), stamp(&file).map_err(failed)?);
                    }
                }
            } else {
                files.insert(path.clone(), stamp(path).map_err(failed)?);
            }
        }
        Ok(files)
    }
}

fn is_manifest(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && !name.starts_with('.')
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

fn read_all<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<Object>, Vec<Problem>> {
    let (mut objects, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match manifest::read_file(file) {
            Ok(read) => objects.extend(read),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(objects)
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = "apiVersion: lanyard.dev/v1alpha1\nkind: AgentIdentity\nmetadata: {name: bot}\nspec: {workloadSelector: {processes: [{name: a, executable: {path: /bin/a, sha256: \"00000000000000000000000000000000000000000000000000000000000000aa\"}}]}}\n";

    fn own() -> BTreeSet<u32> {
        [0, rustix::process::geteuid().as_raw()].into()
    }

    #[test]
    fn a_folder_is_read_when_it_changes_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let mut manifests = Manifests::new(vec![folder.path().to_owned()], own());
        assert!(manifests.read().unwrap().is_ok());
        assert!(manifests.read().is_none());
        fs::write(folder.path().join("bot.yaml"), IDENTITY).unwrap();
        fs::write(folder.path().join("notes.txt"), "not a manifest").unwrap();
        fs::write(folder.path().join(".bot.yaml"), "an editor's own").unwrap();
        assert_eq!(manifests.read().unwrap().unwrap().len(), 1);
        assert!(manifests.read().is_none());
    }

    #[test]
    fn every_broken_file_is_told_and_a_missing_one_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.yaml"), "kind: Nothing").unwrap();
        fs::write(folder.path().join("b.yaml"), "]").unwrap();
        let problems = Manifests::new(vec![folder.path().to_owned()], own())
            .read()
            .unwrap()
            .unwrap_err()
            .join("\n");
        assert!(
            problems.contains("a.yaml:") && problems.contains("b.yaml:"),
            "{problems}"
        );
        let mut missing = Manifests::new(vec![folder.path().join("none.yaml")], own());
        assert!(missing.read().unwrap().is_err());
        assert!(missing.read().is_none(), "the same problem is told once");
    }
}

//! Manifests as `apply` and `delete` are given them. They are read here, and understood by the node agent.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use lanyard_protocol::control::Manifest;
use thiserror::Error;

/// The most bytes of one call: what fits into one message of the control protocol, with room to spare.
const MOST: u64 = 3 << 20;

/// Why manifests cannot be read.
#[derive(Debug, Error)]
pub(crate) enum ManifestsError {
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("standard input cannot be read: {0}")]
    StandardInput(io::Error),
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    #[error("the manifests are longer than {} MiB together", MOST >> 20)]
    TooLong,
    #[error("{path} holds no manifest: no file in it ends with .yaml or .yml", path = .0.display())]
    NoManifest(PathBuf),
}

/// The texts of all `paths`; `-` is standard input.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>, ManifestsError> {
    let mut room = MOST;
    let mut manifests = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let bytes = read_bounded(io::stdin().lock(), &mut room, ManifestsError::StandardInput)?;
            manifests.push(manifest("standard input".to_owned(), bytes)?);
            continue;
        }
        for file in files(path)? {
            let failed = failed(&file);
            let opened = File::open(&file).map_err(&failed)?;
            let bytes = read_bounded(opened, &mut room, failed)?;
            manifests.push(manifest(file.display().to_string(), bytes)?);
        }
    }
    Ok(manifests)
}

fn read_bounded(
    source: impl Read,
    room: &mut u64,
    failed: impl Fn(io::Error) -> ManifestsError,
) -> Result<Vec<u8>, ManifestsError> {
    let mut bytes = Vec::new();
    // One byte more than there is room for is enough to see that there is more.
    source
        .take(*room + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    *room = room.checked_sub(length).ok_or(ManifestsError::TooLong)?;
    Ok(bytes)
}

fn manifest(name: String, bytes: Vec<u8>) -> Result<Manifest, ManifestsError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Manifest { name, text }),
        Err(_) => Err(ManifestsError::NotText(name)),
    }
}

/// The file itself, or the manifests of a folder in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, ManifestsError> {
    let failed = failed(path);
    if !fs::metadata(path).map_err(&failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(&failed)? {
        let file = entry.map_err(&failed)?.path();
        if is_manifest(&file) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(ManifestsError::NoManifest(path.to_owned()));
    }
    Ok(files)
}

/// As `lanyard up` chooses them.
fn is_manifest(path: &Path) -> bool {
    let is_yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    let name = path.file_name().unwrap_or_default();
    is_yaml && !name.to_string_lossy().starts_with('.')
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ManifestsError + use<> {
    let path = path.to_owned();
    move |source| ManifestsError::Read {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_manifests_in_order_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", ".c.yaml", "notes.txt"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let read = read(&[folder.path().to_owned()]).unwrap();
        let texts: Vec<_> = read.iter().map(|manifest| manifest.text.as_str()).collect();
        assert_eq!(texts, ["a.yml", "b.yaml"]);
        assert!(read[0].name.ends_with("/a.yml"));
    }

    #[test]
    fn what_holds_no_manifest_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let empty = read(&[folder.path().to_owned()]);
        assert!(matches!(empty, Err(ManifestsError::NoManifest(_))));
        let missing = read(&[folder.path().join("none.yaml")]);
        assert!(matches!(missing, Err(ManifestsError::Read { .. })));
        fs::write(folder.path().join("x"), [0xff]).unwrap();
        let binary = read(&[folder.path().join("x")]);
        assert!(matches!(binary, Err(ManifestsError::NotText(_))));
    }

    #[test]
    fn all_together_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.yaml");
        fs::write(&path, "a".repeat(2 << 20)).unwrap();
        assert!(read(std::slice::from_ref(&path)).is_ok());
        assert!(matches!(
            read(&[path.clone(), path]),
            Err(ManifestsError::TooLong)
        ));
    }
}

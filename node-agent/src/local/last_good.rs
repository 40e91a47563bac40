//! The manifests that were last in force, so that a start finds them when the files cannot be read.

use std::{fs, io, path::Path};

use lanyard_crds::manifest::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{error, warn};

use super::stored;
use crate::kept::write_private;

#[derive(Serialize, Deserialize)]
struct Kept {
    file: String,
    object: Value,
}

/// Keeps the objects of all files. What cannot be kept is told in the log: the files themselves are there.
pub(super) fn keep(path: &Path, objects: &[Object]) {
    let kept = objects.iter().map(|object| {
        Ok(Kept {
            file: object.file.clone(),
            object: stored::value(object)?,
        })
    });
    let text = kept
        .collect::<serde_json::Result<Vec<_>>>()
        .and_then(|kept| serde_json::to_vec(&kept));
    match text {
        Ok(text) => {
            if let Err(error) = write_private(path, &text) {
                error!(%error, "the manifests in force were not kept");
            }
        }
        Err(error) => error!(%error, "the manifests in force were not kept"),
    }
}

/// What was kept; nothing when there is none, or when it cannot be read.
pub(super) fn read(path: &Path) -> Option<Vec<Object>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(%error, path = %path.display(), "the last good manifests cannot be read");
            return None;
        }
    };
    let objects = serde_json::from_slice::<Vec<Kept>>(&text)
        .map_err(|error| error.to_string())
        .and_then(|kept| kept.iter().map(object).collect::<Result<Vec<_>, _>>());
    objects
        .map_err(
            |error| warn!(error, path = %path.display(), "the last good manifests are damaged"),
        )
        .ok()
}

fn object(kept: &Kept) -> Result<Object, String> {
    stored::read(&kept.file, &kept.object).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    })
}

#[cfg(test)]
mod tests {
    use super::{stored::sample, *};

    #[test]
    fn the_last_good_manifests_are_read_with_the_names_of_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifests.json");
        assert!(read(&path).is_none());
        let objects = sample::objects(&sample::grant("a", "a.example"));
        keep(&path, &objects);
        let again = read(&path).unwrap();
        assert!(stored::is_same(&objects[0], &again[0]));
        assert_eq!(again[0].file, "given.yaml");
        fs::write(&path, "[{}]").unwrap();
        assert!(read(&path).is_none());
    }
}

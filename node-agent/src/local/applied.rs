//! Objects that were applied: a file each in the state folder, and all changes of one call or none, also when
//! the machine stops in between.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use lanyard_access::{digest::Sha256Digest, object::ObjectKey};
use lanyard_crds::{kind::Kind, manifest::Object};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::stored;
use crate::kept::{KeptError, write_private};

/// The changes of the call under way. While it is there, they are not all done.
const JOURNAL: &str = "changes.journal";

/// Why objects could not be kept.
#[derive(Debug, Error)]
pub(super) enum AppliedError {
    #[error("{attempt} {path}: {source}", path = .path.display())]
    System {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Write(#[from] KeptError),
    #[error("write an object as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{kind} {key} cannot be read back: {problems}")]
    ReadBack {
        kind: Kind,
        key: ObjectKey,
        problems: String,
    },
}

/// What is done with one object; nothing removes it.
pub(super) type Change = ((Kind, ObjectKey), Option<Object>);

/// A change as the journal has it.
#[derive(Serialize, Deserialize)]
struct Line {
    file: String,
    object: Option<Value>,
}

/// The objects, and the folder they are in.
pub(super) struct Applied {
    folder: PathBuf,
    objects: BTreeMap<(Kind, ObjectKey), Object>,
}

impl Applied {
    /// Reads the folder, and ends what a call before had begun. A file that cannot be read is a problem, and
    /// its object gives nothing.
    pub(super) fn read(folder: PathBuf) -> Result<(Self, Vec<String>), AppliedError> {
        make_private(&folder)?;
        replay(&folder)?;
        let mut applied = Self {
            folder,
            objects: BTreeMap::new(),
        };
        let mut problems = Vec::new();
        for path in files(&applied.folder)? {
            match read_object(&path) {
                Ok(object) => drop(applied.insert(object)),
                Err(problem) => problems.push(problem),
            }
        }
        Ok((applied, problems))
    }

    /// Every object.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// One object.
    pub(super) fn get(&self, kind: Kind, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(&(kind, key.clone()))
    }

    /// The objects as they would be after `changes`.
    pub(super) fn with(&self, changes: &[Change]) -> Vec<Object> {
        let mut objects = self.objects.clone();
        for (name, object) in changes {
            match object {
                Some(object) => drop(objects.insert(name.clone(), object.clone())),
                None => drop(objects.remove(name)),
            }
        }
        objects.into_values().collect()
    }

    /// Makes the changes: when this returns, they outlive the machine.
    pub(super) fn commit(&mut self, changes: Vec<Change>) -> Result<(), AppliedError> {
        let mut lines = Vec::new();
        let mut kept = Vec::new();
        for (name, object) in changes {
            let file = file_name(name.0, &name.1);
            let value = object.as_ref().map(stored::value).transpose()?;
            // What cannot be read again is not written.
            let object = value
                .as_ref()
                .map(|value| self.read_back(&name, &file, value))
                .transpose()?;
            lines.push(Line {
                file,
                object: value,
            });
            kept.push((name, object));
        }
        write_private(&self.folder.join(JOURNAL), &serde_json::to_vec(&lines)?)?;
        replay(&self.folder)?;
        for (name, object) in kept {
            match object {
                Some(object) => drop(self.insert(object)),
                None => drop(self.objects.remove(&name)),
            }
        }
        Ok(())
    }

    fn read_back(
        &self,
        (kind, key): &(Kind, ObjectKey),
        file: &str,
        value: &Value,
    ) -> Result<Object, AppliedError> {
        let path = self.folder.join(file).display().to_string();
        stored::read(&path, value).map_err(|problems| AppliedError::ReadBack {
            kind: *kind,
            key: key.clone(),
            problems: told(&problems),
        })
    }

    fn insert(&mut self, object: Object) -> Option<Object> {
        let name = (object.kind(), object.key.clone());
        self.objects.insert(name, object)
    }
}

/// Neither a namespace nor a kind has a dot, so that each object has a file of its own. Its name has at most
/// 253 characters, and is cut by nothing.
fn file_name(kind: Kind, key: &ObjectKey) -> String {
    // 16 of the kind, 63 of the namespace and 253 of the name are more than the 255 of a file's name.
    let whole = format!("{kind}.{}.{}", key.namespace, key.name);
    if whole.len() < 240 {
        return format!("{whole}.json");
    }
    let digest = Sha256Digest::new(Sha256::digest(&whole).into());
    format!("{kind}.{digest}.json")
}

/// Does what the journal says, which may be done in part, and removes it.
fn replay(folder: &Path) -> Result<(), AppliedError> {
    let journal = folder.join(JOURNAL);
    let text = match fs::read(&journal) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(system("read", &journal, source)),
    };
    for Line { file, object } in serde_json::from_slice::<Vec<Line>>(&text)? {
        let path = folder.join(file);
        match object {
            Some(object) => write_private(&path, &serde_json::to_vec_pretty(&object)?)?,
            None => remove(&path)?,
        }
    }
    remove(&journal)?;
    // The names of files are the folder's own (fsync(2)).
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| system("write", folder, source))
}

fn remove(path: &Path) -> Result<(), AppliedError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(system("remove", path, source))
        }
        _ => Ok(()),
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, AppliedError> {
    let read = |source| system("read", folder, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read_object(path: &Path) -> Result<Object, String> {
    let failed = |error: String| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let value = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    stored::read(&path.display().to_string(), &value).map_err(|problems| told(&problems))
}

fn told(problems: &[lanyard_crds::problem::Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn make_private(folder: &Path) -> Result<(), AppliedError> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|source| system("make", folder, source))
}

fn system(attempt: &'static str, path: &Path, source: io::Error) -> AppliedError {
    AppliedError::System {
        attempt,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{stored::sample, *};

    fn changes(text: &str) -> Vec<Change> {
        let objects = sample::objects(text).into_iter();
        objects
            .map(|object| ((object.kind(), object.key.clone()), Some(object)))
            .collect()
    }

    fn names(applied: &Applied) -> Vec<String> {
        let objects = applied.objects();
        objects.map(|object| object.key.name.to_string()).collect()
    }

    fn read(folder: &Path) -> Applied {
        let (applied, problems) = Applied::read(folder.join("objects")).unwrap();
        assert_eq!(problems, Vec::<String>::new());
        applied
    }

    #[test]
    fn what_is_committed_is_there_after_a_restart_and_what_is_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let two = sample::grant("a", "a.example") + &sample::grant("b", "b.example");
        let mut applied = read(folder.path());
        applied.commit(changes(&two)).unwrap();
        assert_eq!(names(&read(folder.path())), ["a", "b"]);
        let (name, _) = changes(&two).remove(0);
        applied.commit(vec![(name, None)]).unwrap();
        assert_eq!(names(&applied), ["b"]);
        assert_eq!(names(&read(folder.path())), ["b"]);
        let file = folder.path().join("objects/AccessGrant.default.b.json");
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_call_that_was_cut_short_is_done_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut applied = read(folder.path());
        applied
            .commit(changes(&sample::grant("old", "a.example")))
            .unwrap();
        let lines: Vec<Line> = ["p", "q"]
            .map(|name| {
                let object = sample::objects(&sample::grant(name, "b.example")).remove(0);
                Line {
                    file: file_name(object.kind(), &object.key),
                    object: Some(stored::value(&object).unwrap()),
                }
            })
            .into_iter()
            .chain([Line {
                file: "AccessGrant.default.old.json".into(),
                object: None,
            }])
            .collect();
        let journal = folder.path().join("objects").join(JOURNAL);
        fs::write(&journal, serde_json::to_vec(&lines).unwrap()).unwrap();
        assert_eq!(names(&read(folder.path())), ["p", "q"]);
        assert!(!journal.exists());
    }

    #[test]
    fn a_damaged_file_is_a_problem_and_the_others_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut applied = read(folder.path());
        applied
            .commit(changes(&sample::grant("a", "a.example")))
            .unwrap();
        fs::write(
            folder.path().join("objects/AccessGrant.default.b.json"),
            "{",
        )
        .unwrap();
        let (applied, problems) = Applied::read(folder.path().join("objects")).unwrap();
        assert_eq!(names(&applied), ["a"]);
        assert!(
            problems.len() == 1 && problems[0].contains("b.json"),
            "{problems:?}"
        );
    }

    #[test]
    fn every_object_has_a_file_of_its_own() {
        let long = "a".repeat(250);
        let key = |text: &str| text.parse::<ObjectKey>().unwrap();
        let one = file_name(Kind::AccessGrant, &key(&format!("n/{long}b")));
        let other = file_name(Kind::AccessGrant, &key(&format!("n/{long}c")));
        assert!(one != other && one.len() <= 255);
        assert_ne!(
            file_name(Kind::AccessGrant, &key("a/b.c")),
            file_name(Kind::AgentIdentity, &key("a/b.c"))
        );
    }
}

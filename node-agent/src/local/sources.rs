//! Where objects come from on one machine: the files of `lanyard up`, and what was applied. Together they are
//! what is written.

use std::path::PathBuf;

use jiff::Timestamp;
use lanyard_access::object::ObjectKey;
use lanyard_crds::{
    kind::Kind,
    manifest::{Object, Set},
};

use super::{
    applied::{Applied, AppliedError, Change},
    last_good,
    lives::{self, InForce},
    manifests::Manifests,
};
use crate::place::Place;

/// Both sources.
pub(super) struct Sources {
    files: Manifests,
    /// The objects of the files that are in force.
    of_files: Vec<Object>,
    applied: Applied,
    /// Files of applied objects that cannot be read.
    lost: Vec<String>,
    last_good: PathBuf,
    /// Whether what the files say now is not in force.
    is_refused: bool,
}

/// Why changes of objects were not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeError {
    #[error("{}", .0.join("\n"))]
    Rules(Vec<String>),
    #[error(transparent)]
    Kept(#[from] AppliedError),
}

impl Sources {
    /// Reads what was applied; the files are looked at later.
    pub(super) fn open(files: Manifests, place: &Place) -> Result<Self, AppliedError> {
        let (applied, lost) = Applied::read(place.objects())?;
        Ok(Self {
            files,
            of_files: Vec::new(),
            applied,
            lost,
            last_good: place.last_good(),
            is_refused: false,
        })
    }

    /// What is in force at the start: what the files say, or else what they last said, or else what was applied
    /// alone. The problems say what was left out; false when that is everything.
    pub(super) fn begin(&mut self, node: &mut impl InForce, now: Timestamp) -> (bool, Vec<String>) {
        let problems = match self.files.read() {
            Some(Ok(objects)) => match self.take_files(node, objects, now) {
                Ok(()) => Vec::new(),
                Err(problems) => problems,
            },
            Some(Err(problems)) => problems,
            None => Vec::new(),
        };
        let mut is_anything = true;
        self.is_refused = !problems.is_empty();
        if !problems.is_empty() {
            let before = last_good::read(&self.last_good);
            is_anything = before.is_some() || self.applied.objects().next().is_some();
            let taken = self.put_files(node, before.unwrap_or_default(), now);
            if taken.is_err() && self.put_files(node, Vec::new(), now).is_err() {
                is_anything = false;
            }
        }
        (is_anything, self.all(problems))
    }

    /// Takes up the files if they changed since the last call. Nothing when they did not.
    pub(super) fn look(
        &mut self,
        node: &mut impl InForce,
        now: Timestamp,
    ) -> Option<Result<(), Vec<String>>> {
        let taken = match self.files.read()? {
            Ok(objects) => self.take_files(node, objects, now),
            Err(problems) => Err(problems),
        };
        let problems = taken.as_ref().err().cloned().unwrap_or_default();
        self.is_refused = !problems.is_empty();
        node.set_problems(self.all(problems));
        Some(taken)
    }

    /// Makes changes of applied objects, or none of them.
    pub(super) fn change(
        &mut self,
        node: &mut impl InForce,
        changes: Vec<Change>,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let set = together(&self.of_files, &self.applied.with(&changes));
        let taken = set
            .and_then(|set| lives::check(node, set, now))
            .map_err(ChangeError::Rules)?;
        self.applied.commit(changes)?;
        node.put(taken);
        // Files that were refused because of an applied object may be good now.
        if self.is_refused {
            self.files.look_again();
        }
        Ok(())
    }

    /// What would be in force after these files and these applications.
    #[cfg(test)]
    pub(super) fn assume(&mut self, of_files: Vec<Object>, applied: Vec<Object>) {
        self.of_files = of_files;
        let changes = applied
            .into_iter()
            .map(|object| ((object.kind(), object.key.clone()), Some(object)));
        self.applied.commit(changes.collect()).unwrap();
    }

    /// The file that writes an object, if one does.
    pub(super) fn file_of(&self, kind: Kind, key: &ObjectKey) -> Option<&str> {
        let object = self
            .of_files
            .iter()
            .find(|object| object.kind() == kind && object.key == *key)?;
        Some(&object.file)
    }

    /// An applied object.
    pub(super) fn applied(&self, kind: Kind, key: &ObjectKey) -> Option<&Object> {
        self.applied.get(kind, key)
    }

    /// Every object with the file of `lanyard up` that writes it; nothing for one that was applied.
    pub(super) fn objects(&self) -> impl Iterator<Item = (&Object, Option<&str>)> {
        let of_files = self
            .of_files
            .iter()
            .map(|object| (object, Some(object.file.as_str())));
        of_files.chain(self.applied.objects().map(|object| (object, None)))
    }

    fn take_files(
        &mut self,
        node: &mut impl InForce,
        objects: Vec<Object>,
        now: Timestamp,
    ) -> Result<(), Vec<String>> {
        self.put_files(node, objects, now)?;
        last_good::keep(&self.last_good, &self.of_files);
        Ok(())
    }

    fn put_files(
        &mut self,
        node: &mut impl InForce,
        objects: Vec<Object>,
        now: Timestamp,
    ) -> Result<(), Vec<String>> {
        let set = together(&objects, &self.applied.with(&[]))?;
        let taken = lives::check(node, set, now)?;
        node.put(taken);
        self.of_files = objects;
        Ok(())
    }

    fn all(&self, problems: Vec<String>) -> Vec<String> {
        self.lost.iter().cloned().chain(problems).collect()
    }
}

fn together(of_files: &[Object], applied: &[Object]) -> Result<Set, Vec<String>> {
    Set::new(of_files.iter().chain(applied).cloned())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests;

//! A layer of an image: a tar archive that is the same for the same files, whoever makes it and when.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tar::{Builder, EntryType, Header};

/// The files of a layer, by path without the leading slash; folders are made as they are needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    Folder { mode: u32 },
    File { content: Vec<u8>, mode: u32 },
}

impl Layer {
    /// Adds a file.
    #[must_use]
    pub(crate) fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        let path = path.trim_start_matches('/');
        for (end, _) in path.match_indices('/') {
            let folder = Entry::Folder { mode: 0o755 };
            self.entries
                .entry(format!("{}/", &path[..end]))
                .or_insert(folder);
        }
        let content = content.into();
        self.entries
            .insert(path.to_owned(), Entry::File { content, mode });
        self
    }

    /// Adds a folder with nothing in it.
    #[must_use]
    pub(crate) fn folder(mut self, path: &str, mode: u32) -> Self {
        let path = format!("{}/", path.trim_matches('/'));
        self.entries.insert(path, Entry::Folder { mode });
        self
    }

    /// The archive: sorted by name, all of root and of one moment, in seconds since 1970.
    pub(crate) fn archive(&self, moment: u64) -> anyhow::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, entry) in &self.entries {
            let (kind, mode, content): (_, _, &[u8]) = match entry {
                Entry::Folder { mode } => (EntryType::Directory, *mode, &[]),
                Entry::File { content, mode } => (EntryType::Regular, *mode, content),
            };
            let mut header = Header::new_ustar();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(moment);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content)
                .with_context(|| format!("add {path} to a layer"))?;
        }
        tar.into_inner().context("finish a layer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(archive);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (
                    entry.path().unwrap().display().to_string(),
                    header.mode().unwrap(),
                    header.mtime().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let layer = Layer::default()
            .file("/usr/bin/a", "a", 0o755)
            .folder("/tmp", 0o1777);
        assert_eq!(
            names(&layer.archive(7).unwrap()),
            [
                ("tmp/".to_owned(), 0o1777, 7),
                ("usr/".to_owned(), 0o755, 7),
                ("usr/bin/".to_owned(), 0o755, 7),
                ("usr/bin/a".to_owned(), 0o755, 7),
            ]
        );
    }

    #[test]
    fn the_order_in_which_files_are_added_does_not_matter() {
        let one = Layer::default().file("a", "1", 0o644).file("b", "2", 0o644);
        let other = Layer::default().file("b", "2", 0o644).file("a", "1", 0o644);
        assert_eq!(one.archive(0).unwrap(), other.archive(0).unwrap());
        let changed = Layer::default().file("a", "1", 0o644).file("b", "3", 0o644);
        assert_ne!(one.archive(0).unwrap(), changed.archive(0).unwrap());
    }
}

//! The Rust files of the checkout, read once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Path inside the checkout to text.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// Reads every `.rs` file that is not in a hidden folder or among built things.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut sources = Self::default();
        sources.visit(root, Path::new(""))?;
        Ok(sources)
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.0
            .iter()
            .map(|(path, text)| (path.as_path(), text.as_str()))
    }

    fn visit(&mut self, root: &Path, folder: &Path) -> anyhow::Result<()> {
        let here = root.join(folder);
        for entry in fs::read_dir(&here).with_context(|| format!("list {}", here.display()))? {
            let entry = entry.with_context(|| format!("list {}", here.display()))?;
            let name = entry.file_name();
            let path = folder.join(&name);
            let kind = entry
                .file_type()
                .with_context(|| format!("look at {}", path.display()))?;
            let name = name.to_string_lossy();
            if kind.is_dir() && !name.starts_with('.') && name != "target" {
                self.visit(root, &path)?;
            } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "rs")
            {
                let text = fs::read_to_string(root.join(&path))
                    .with_context(|| format!("read {}", path.display()))?;
                self.0.insert(path, text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Sources {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(
            files
                .into_iter()
                .map(|(path, text)| (path.into(), text.into()))
                .collect(),
        )
    }
}

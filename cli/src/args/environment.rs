//! The variables that say where the caller's folders are.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// The environment of this process, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        env::vars_os().collect()
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// A variable that is set to an absolute path.
    pub(crate) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.get(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    /// The folders of a variable with a list of them, such as PATH.
    pub(crate) fn folders(&self, name: &str) -> Vec<PathBuf> {
        self.get(name)
            .map(|list| env::split_paths(list).filter(|path| path.is_absolute()))
            .into_iter()
            .flatten()
            .collect()
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_absolute_and_an_empty_value_is_none() {
        let environment: Environment = [("A", "/a"), ("B", "b"), ("C", ""), ("P", "/x::y:/z")]
            .map(|(name, value)| (name.into(), value.into()))
            .into_iter()
            .collect();
        assert_eq!(environment.folder("A"), Some("/a".into()));
        assert_eq!(environment.folder("B"), None);
        assert_eq!(environment.get("C"), None);
        assert_eq!(environment.folders("P"), ["/x", "/z"].map(PathBuf::from));
    }
}

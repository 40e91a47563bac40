//! Where the secrets of a machine are.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Component, Path, PathBuf},
};

use lanyard_access::object::{Namespace, ObjectName};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{credential_source::check_secret_key, field::FieldErrors};

/// One key of a secret; as text `NAMESPACE/NAME/KEY`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretKey {
    /// The namespace of the secret, which is that of the `CredentialSource`.
    pub namespace: Namespace,
    /// The name of the secret.
    pub name: ObjectName,
    /// The key within it.
    pub key: String,
}

impl fmt::Display for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.namespace, self.name, self.key)
    }
}

/// The file that holds a secret: an absolute path without `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// An entry as it is written.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    #[schemars(length(min = 1, max = 571))]
    secret: String,
    #[schemars(length(min = 1, max = 4095))]
    file: String,
}

/// The checked form of each entry that is in order; the others are noted.
pub(super) fn check(
    written: Vec<Written>,
    errors: &mut FieldErrors,
) -> BTreeMap<SecretKey, SecretFile> {
    let entries = written
        .into_iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let key = errors.keep(format!("secrets[{index}].secret"), check_key(&entry.secret));
            let file = errors.keep(format!("secrets[{index}].file"), check_file(&entry.file));
            Some((key?, file?))
        });
    entries.collect()
}

fn check_key(text: &str) -> Result<SecretKey, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let [namespace, name, key] = &*parts else {
        return Err(format!(
            "`{text}` is not a key of a secret; write NAMESPACE/NAME/KEY"
        ));
    };
    Ok(SecretKey {
        namespace: namespace
            .parse()
            .map_err(|error| format!("the namespace {error}"))?,
        name: name.parse().map_err(|error| format!("the name {error}"))?,
        key: check_secret_key(key)?,
    })
}

fn check_file(text: &str) -> Result<SecretFile, String> {
    let path = Path::new(text);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain || text.contains('\0') || text.ends_with('/') {
        return Err(format!(
            "`{text}` is not the absolute path of a file; begin with / and leave out .. and a final /"
        ));
    }
    Ok(SecretFile(path.to_owned()))
}

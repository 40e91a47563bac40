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

/// Where a secret is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// A file that holds it: an absolute path without `.` or `..`.
    File(PathBuf),
    /// A program that prints it.
    Command {
        /// The program: an absolute path without `.` or `..`.
        program: PathBuf,
        /// What it is called with.
        arguments: Vec<String>,
    },
}

/// An entry as it is written.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    #[schemars(length(min = 1, max = 571))]
    secret: String,
    #[serde(default)]
    #[schemars(length(min = 1, max = 4095))]
    file: Option<String>,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::command")]
    command: Vec<String>,
}

/// The checked form of each entry that is in order; the others are noted.
pub(super) fn check(
    written: Vec<Written>,
    errors: &mut FieldErrors,
) -> BTreeMap<SecretKey, SecretPlace> {
    let entries = written
        .into_iter()
        .enumerate()
        .filter_map(|(index, entry)| {
            let key = errors.keep(format!("secrets[{index}].secret"), check_key(&entry.secret));
            let place = check_place(&entry, &format!("secrets[{index}]"), errors);
            Some((key?, place?))
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

const ONE_PLACE: &str = "exactly one of file and command must be set: a file that holds the secret, or a program that prints it";

fn check_place(entry: &Written, path: &str, errors: &mut FieldErrors) -> Option<SecretPlace> {
    match (&entry.file, entry.command.as_slice()) {
        (Some(file), []) => errors
            .keep(format!("{path}.file"), check_file(file))
            .map(SecretPlace::File),
        (None, [program, arguments @ ..]) => errors
            .keep(format!("{path}.command[0]"), check_file(program))
            .map(|program| SecretPlace::Command {
                program,
                arguments: arguments.to_vec(),
            }),
        (Some(_), [_, ..]) | (None, []) => {
            errors.add(format!("{path}.file"), ONE_PLACE);
            None
        }
    }
}

fn check_file(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !is_plain || text.contains('\0') || text.ends_with('/') {
        return Err(format!(
            "`{text}` is not the absolute path of a file; begin with / and leave out .. and a final /"
        ));
    }
    Ok(path.to_owned())
}

//! What a machine allows an agent: who may run it, and what of the machine it may use.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_access::object::ObjectKey;
use schemars::JsonSchema;
use serde::Deserialize;

use super::path::{AllowedPath, SocketPath};
use crate::field::FieldErrors;

/// What the machine allows one agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityPolicy {
    /// Names of users who may run it, beside root.
    pub users: BTreeSet<String>,
    /// Names of groups whose users may run it.
    pub groups: BTreeSet<String>,
    /// Files and folders that it may read and write, beside the project folder.
    pub allow_paths: BTreeSet<AllowedPath>,
    /// Unix sockets of others that it may connect to.
    pub unix_sockets: BTreeSet<SocketPath>,
}

/// An entry as it is written.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    #[schemars(length(min = 1, max = 317))]
    name: String,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::account_names")]
    allowed_users: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::account_names")]
    allowed_groups: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::paths")]
    allow_paths: Vec<String>,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::paths")]
    unix_sockets: Vec<String>,
}

/// The checked form of each entry that is in order; the others are noted.
pub(super) fn check(
    written: Vec<Written>,
    errors: &mut FieldErrors,
) -> BTreeMap<ObjectKey, IdentityPolicy> {
    let mut identities = BTreeMap::new();
    for (index, entry) in written.into_iter().enumerate() {
        let path = format!("identities[{index}]");
        let name = format!("{path}.name");
        let key = errors.keep(&*name, ObjectKey::parse(&entry.name));
        let policy = IdentityPolicy {
            allow_paths: entry.check_allow_paths(&path, errors),
            unix_sockets: entry.check_unix_sockets(&path, errors),
            users: entry.allowed_users.into_iter().collect(),
            groups: entry.allowed_groups.into_iter().collect(),
        };
        let Some(key) = key else { continue };
        // `bot` and `default/bot` are the same agent.
        if identities.insert(key.clone(), policy).is_some() {
            errors.add(name, format!("{key} is in the list twice"));
        }
    }
    identities
}

impl Written {
    fn check_allow_paths(&self, path: &str, errors: &mut FieldErrors) -> BTreeSet<AllowedPath> {
        let paths = self.allow_paths.iter().enumerate();
        let paths = paths.filter_map(|(index, text)| {
            errors.keep(format!("{path}.allowPaths[{index}]"), text.parse())
        });
        paths.collect()
    }

    fn check_unix_sockets(&self, path: &str, errors: &mut FieldErrors) -> BTreeSet<SocketPath> {
        let paths = self.unix_sockets.iter().enumerate();
        let paths = paths.filter_map(|(index, text)| {
            errors.keep(format!("{path}.unixSockets[{index}]"), text.parse())
        });
        paths.collect()
    }
}

//! Agents known by the file they execute.

use std::collections::BTreeSet;

use lanyard_access::process::ProcessSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::field::FieldErrors;

/// An executed file that is the agent.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessRule {
    /// What you call it; unique in this list. Records and `lanyard status` show it.
    #[schemars(schema_with = "crate::text::label_name")]
    pub name: String,
    /// The file.
    pub executable: Executable,
}

/// A file, by where it is and what is in it.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Executable {
    /// The absolute path at which the file is executed, without symbolic links: what
    /// `realpath FILE` prints, for example /usr/bin/python3.13.
    #[schemars(schema_with = "crate::text::executable_path")]
    pub path: String,
    /// The SHA-256 digest of the file, as `sha256sum FILE` prints it. When the file is replaced, for
    /// example by an upgrade, the new one is not the agent until its digest stands here.
    #[schemars(schema_with = "crate::text::sha256")]
    pub sha256: String,
}

/// The checked form of each rule that is in order; the others are noted.
pub(super) fn check(
    rules: &[ProcessRule],
    path: &str,
    errors: &mut FieldErrors,
) -> Vec<ProcessSelector> {
    if rules.is_empty() {
        errors.add(path, "names no process; write at least one");
    }
    let mut names = BTreeSet::new();
    let checked = rules.iter().enumerate().filter_map(|(index, rule)| {
        let at = |field: &str| format!("{path}[{index}].{field}");
        let name = errors.keep(at("name"), rule.name.parse());
        if !names.insert(&rule.name) {
            errors.add(at("name"), format!("`{}` is written twice", rule.name));
        }
        let executable = errors.keep(at("executable.path"), rule.executable.path.parse());
        let sha256 = errors.keep(at("executable.sha256"), rule.executable.sha256.parse());
        Some(ProcessSelector {
            name: name?,
            path: executable?,
            sha256: sha256?,
        })
    });
    checked.collect()
}

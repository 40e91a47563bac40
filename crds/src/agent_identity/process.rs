//! Agents known by the file they execute.

use std::collections::BTreeSet;

use lanyard_access::process::{ChildrenRule, ProcessSelector, ScriptSelector};
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
    /// The file. Of an interpreter such as python3 the file says little: write the script too.
    pub executable: Executable,
    /// The script that the file has to run, when it is an interpreter: as the very first argument, by its
    /// absolute path and without options before it, or by the `#!` line of the script itself, which has to
    /// be executed by its absolute path. It has the level of evidence `Image` only where no process of the
    /// scope can write the script or the folders above it; else the process has a lower level, and records
    /// say `ScriptWritable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Script")]
    pub script: Option<Script>,
    /// What the process passes on to the programs that it executes. `None`: nothing; each is judged by
    /// itself. `Listed`: the level of evidence `Lineage` to programs of this list that do not reach
    /// `Image` by themselves, for example for a variable that changes what they load. `Inherit`: the
    /// level `Lineage` to every program, listed or not, and from these to all that they execute in turn;
    /// it is meant for coding agents, which run shells, compilers and what these have just built.
    /// Whatever stands here, a program of this list is the agent whoever executes it in the agent's
    /// scope: what is granted to it is granted to everything in the scope that can start it.
    #[serde(default)]
    pub children: Children,
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

/// A script, by where it is and what is in it.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// The absolute path of the script, without symbolic links: what `realpath SCRIPT` prints.
    #[schemars(schema_with = "crate::text::executable_path")]
    pub path: String,
    /// The SHA-256 digest of the script, as `sha256sum SCRIPT` prints it. What the script loads in turn
    /// is not looked at.
    #[schemars(schema_with = "crate::text::sha256")]
    pub sha256: String,
}

/// What a process passes on to the programs that it executes.
#[derive(JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Children {
    /// Nothing: each is judged by itself.
    #[default]
    None,
    /// The level `Lineage`, to programs that are listed.
    Listed,
    /// The level `Lineage`, to every program and all that it executes in turn.
    Inherit,
}

impl From<Children> for ChildrenRule {
    fn from(children: Children) -> Self {
        match children {
            Children::None => Self::None,
            Children::Listed => Self::Listed,
            Children::Inherit => Self::Inherit,
        }
    }
}

/// The checked form of each rule that is in order; the others are noted.
pub(super) fn check(
    rules: &[ProcessRule],
    path: &str,
    errors: &mut FieldErrors,
) -> Vec<ProcessSelector> {
    let mut names = BTreeSet::new();
    let checked = rules.iter().enumerate().filter_map(|(index, rule)| {
        let at = |field: &str| format!("{path}[{index}].{field}");
        let name = errors.keep(at("name"), rule.name.parse());
        if !names.insert(&rule.name) {
            errors.add(at("name"), format!("`{}` is written twice", rule.name));
        }
        let executable = errors.keep(at("executable.path"), rule.executable.path.parse());
        let sha256 = errors.keep(at("executable.sha256"), rule.executable.sha256.parse());
        let script = match &rule.script {
            Some(script) => Some(script.check(&at("script"), errors)?),
            None => None,
        };
        Some(ProcessSelector {
            name: name?,
            path: executable?,
            sha256: sha256?,
            script,
            children: rule.children.into(),
        })
    });
    checked.collect()
}

impl Script {
    fn check(&self, path: &str, errors: &mut FieldErrors) -> Option<ScriptSelector> {
        let file = errors.keep(format!("{path}.path"), self.path.parse());
        let sha256 = errors.keep(format!("{path}.sha256"), self.sha256.parse());
        Some(ScriptSelector {
            path: file?,
            sha256: sha256?,
        })
    }
}

//! Which executed files are an agent.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{digest::Sha256Digest, object::ObjectName};

/// Why text is not an [`ExecutablePath`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParsePathError {
    /// The path does not begin at the root.
    #[error("`{0}` is not an absolute path")]
    Relative(String),
    /// The path has parts that the kernel never shows.
    #[error(
        "`{0}` is not the path the kernel shows: leave out `.`, `..`, `//` and a final `/` (`realpath` prints it)"
    )]
    NotCanonical(String),
    /// The kernel allows 4,095 bytes.
    #[error("a path is longer than 4095 bytes")]
    TooLong,
}

/// An absolute path as the kernel shows it for an executed file: no `.`, `..` or empty part.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExecutablePath(String);

impl ExecutablePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExecutablePath {
    type Err = ParsePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 4095 {
            return Err(ParsePathError::TooLong);
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(ParsePathError::Relative(text.to_owned()));
        };
        if rest.contains('\0') || rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(ParsePathError::NotCanonical(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ExecutablePath {
    type Error = ParsePathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ExecutablePath> for String {
    fn from(path: ExecutablePath) -> Self {
        path.0
    }
}

impl fmt::Display for ExecutablePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the programs that an attested process executes inherit.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum ChildrenRule {
    /// Nothing: each is judged by itself.
    #[default]
    None,
    /// The level `Lineage`, if they are listed.
    Listed,
    /// The level `Lineage`, whatever they are, and so do the programs that they execute.
    Inherit,
}

/// A script that an interpreter must run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptSelector {
    /// Where the script is.
    pub path: ExecutablePath,
    /// What is in it.
    pub sha256: Sha256Digest,
}

/// One executed file that is the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSelector {
    /// What people call it; unique in its identity.
    pub name: ObjectName,
    /// Where the file is.
    pub path: ExecutablePath,
    /// What is in it.
    pub sha256: Sha256Digest,
    /// The script it must run, for an interpreter.
    pub script: Option<ScriptSelector>,
    /// What it executes in turn.
    pub children: ChildrenRule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_the_kernel_would_show_are_accepted() {
        for bad in [
            "",
            "bin/true",
            "/",
            "/bin/../x",
            "/./x",
            "/a//b",
            "/a/",
            "/a\0b",
            &format!("/{}", "a".repeat(4095)),
        ] {
            assert!(
                bad.parse::<ExecutablePath>().is_err(),
                "{bad:?} was accepted"
            );
        }
        assert_eq!(
            "/usr/bin/curl".parse::<ExecutablePath>().unwrap().as_str(),
            "/usr/bin/curl"
        );
    }
}

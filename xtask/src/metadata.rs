//! The workspace as `cargo metadata` describes it: packages, targets, declared dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::command;
use crate::context::Context;

/// The packages of the workspace; dependencies from the registry are not listed.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
    #[serde(rename = "workspace_root")]
    root: PathBuf,
    #[serde(rename = "workspace_default_members")]
    default_members: BTreeSet<String>,
}

/// One crate of ours.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) rust_version: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
    manifest_path: PathBuf,
}

/// One line of a `[dependencies]` table.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// None for normal ones, else `build` or `dev`.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
}

/// A library, program, test, bench, example or build script.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read(context: &Context) -> anyhow::Result<Self> {
        let text = command::stdout_of(&mut context.cargo(&[
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
        ]))?;
        Self::parse(&text)
    }

    /// Reads what cargo answered.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("read the answer of cargo metadata")
    }

    /// The folder of a package inside the checkout: `lib/access`.
    pub(crate) fn folder<'a>(&self, package: &'a Package) -> &'a str {
        let folder = package.folder();
        folder
            .strip_prefix(&self.root)
            .unwrap_or(folder)
            .to_str()
            .unwrap_or_default()
    }

    /// What a plain `cargo build` builds.
    pub(crate) fn default_members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.default_members.contains(&package.id))
    }
}

impl Package {
    /// Whether a build without default features differs.
    pub(crate) fn has_default_features(&self) -> bool {
        self.features
            .get("default")
            .is_some_and(|features| !features.is_empty())
    }

    /// The folder of its `Cargo.toml`, absolute.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

impl Target {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|one| one == kind)
    }
}

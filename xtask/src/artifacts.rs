//! One build of everything that runs on this machine, and what came out of it.
//!
//! Tests and programs are built in a single cargo call, so that each dependency is compiled with
//! one set of features, once.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::command::{aloud, typed};
use crate::console::Step;
use crate::context::Context;
use crate::kernel_object;
use crate::metadata::Workspace;

/// What a build produced.
#[derive(Debug, Default)]
pub(crate) struct Artifacts {
    pub(crate) tests: Vec<TestProgram>,
    compiled: usize,
    fresh: usize,
}

/// A program full of tests, as the compiler's test harness makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestProgram {
    pub(crate) package: String,
    /// `lib`, `bin` or `test`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
    /// The package's folder, where tests expect to run.
    pub(crate) folder: PathBuf,
}

/// The folder with the programs of a development build.
pub(crate) fn programs(context: &Context) -> PathBuf {
    context.target().join("debug")
}

/// Builds libraries, programs and tests of the default members.
pub(crate) fn build(context: &Context, object: &Path) -> anyhow::Result<Artifacts> {
    let workspace = Workspace::read(context)?;
    let step = Step::loud("building the crates and their tests");
    let mut command = context.cargo(&[
        "build",
        "--lib",
        "--bins",
        "--tests",
        "--message-format=json-render-diagnostics",
    ]);
    command
        .env(kernel_object::VARIABLE, object)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("run {}", typed(&command)))?;
    if !output.status.success() {
        step.failed("");
        bail!("the build failed: see the compiler's messages above");
    }
    let artifacts = Artifacts::parse(&String::from_utf8_lossy(&output.stdout), &workspace)?;
    step.passed(&artifacts.temperature());
    Ok(artifacts)
}

/// Builds the programs alone, as a person runs them.
pub(crate) fn build_programs(context: &Context, object: &Path) -> anyhow::Result<()> {
    let step = Step::loud("building the programs");
    let result = aloud(
        context
            .cargo(&["build", "--bins"])
            .env(kernel_object::VARIABLE, object),
    );
    match &result {
        Ok(()) => step.passed(""),
        Err(_) => step.failed(""),
    }
    result
}

impl Artifacts {
    /// Whether most of it had to be compiled.
    pub(crate) fn temperature(&self) -> String {
        let all = self.compiled + self.fresh;
        let word = if self.compiled * 2 > all {
            "cold"
        } else {
            "warm"
        };
        format!("{word}, {} of {all} units compiled", self.compiled)
    }

    /// Reads cargo's messages, one JSON object a line.
    fn parse(messages: &str, workspace: &Workspace) -> anyhow::Result<Self> {
        let mut artifacts = Self::default();
        for line in messages.lines().filter(|line| line.starts_with('{')) {
            let message: Message =
                serde_json::from_str(line).context("read a message of cargo build")?;
            if message.reason != "compiler-artifact" {
                continue;
            }
            match message.fresh {
                Some(true) => artifacts.fresh += 1,
                Some(false) | None => artifacts.compiled += 1,
            }
            artifacts.tests.extend(message.test_program(workspace));
        }
        artifacts
            .tests
            .sort_by(|a, b| (&a.package, &a.kind, &a.name).cmp(&(&b.package, &b.kind, &b.name)));
        Ok(artifacts)
    }
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    target: Option<MessageTarget>,
    profile: Option<MessageProfile>,
    executable: Option<PathBuf>,
    fresh: Option<bool>,
}

#[derive(Deserialize)]
struct MessageTarget {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct MessageProfile {
    test: bool,
}

impl Message {
    fn test_program(self, workspace: &Workspace) -> Option<TestProgram> {
        let target = self
            .target
            .filter(|_| self.profile.is_some_and(|profile| profile.test))?;
        let id = self.package_id?;
        let package = workspace.packages.iter().find(|package| package.id == id)?;
        Some(TestProgram {
            package: package.name.clone(),
            kind: target.kind.into_iter().next()?,
            name: target.name,
            executable: self.executable?,
            folder: package.folder().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = r#"{"packages":[{"id":"path+file:///w/a#0.1.0","name":"a","rust_version":null,
        "dependencies":[],"targets":[],"manifest_path":"/w/a/Cargo.toml"}],
        "workspace_root":"/w","workspace_default_members":["path+file:///w/a#0.1.0"]}"#;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","package_id":"registry#dep","target":{"kind":["lib"],"name":"dep"},"profile":{"test":false},"executable":null,"fresh":true}
{"reason":"compiler-artifact","package_id":"path+file:///w/a#0.1.0","target":{"kind":["bin"],"name":"a"},"profile":{"test":false},"executable":"/t/a","fresh":false}
{"reason":"compiler-artifact","package_id":"path+file:///w/a#0.1.0","target":{"kind":["test"],"name":"kernel"},"profile":{"test":true},"executable":"/t/kernel-1","fresh":false}
{"reason":"build-finished","success":true}
"#;

    #[test]
    fn test_programs_are_told_from_the_rest() {
        let workspace = Workspace::parse(WORKSPACE).unwrap();
        let artifacts = Artifacts::parse(MESSAGES, &workspace).unwrap();
        assert_eq!(
            artifacts.tests,
            [TestProgram {
                package: "a".into(),
                kind: "test".into(),
                name: "kernel".into(),
                executable: "/t/kernel-1".into(),
                folder: "/w/a".into(),
            }]
        );
        assert_eq!(artifacts.temperature(), "cold, 2 of 3 units compiled");
    }
}

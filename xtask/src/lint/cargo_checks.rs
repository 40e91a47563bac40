//! The checks that cargo and its tools make.

use std::process::Command;

use super::{Subject, Verdict};
use crate::command::{capture, typed};
use crate::kernel_object;
use crate::setup::cargo_deny;

/// Every crate, also those that a plain build leaves out.
pub(crate) fn format(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let finished = capture(&mut subject.context.cargo(&[
        "fmt",
        "--all",
        "--",
        "--check",
        "--files-with-diff",
    ]))?;
    if finished.status.success() {
        return Ok(Verdict::passed());
    }
    Ok(Verdict::Failed {
        report: format!(
            "`cargo fmt --all` would change:\n{}",
            finished.text.trim_end()
        ),
    })
}

/// Also makes what the node agent embeds, so that the next checks see it whole.
pub(crate) fn kernel_programs(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    kernel_object::build_quietly(subject.context)?;
    Ok(Verdict::passed())
}

pub(crate) fn clippy(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let arguments = [
        "clippy",
        "--quiet",
        "--all-targets",
        "--keep-going",
        "--",
        "--deny",
        "warnings",
    ];
    verdict(
        subject
            .context
            .cargo(&arguments)
            .envs(subject.object_if_built()),
    )
}

/// What a crate leaves out without its default features must still compile: on a cluster the node
/// agent is built without them.
pub(crate) fn clippy_without_default_features(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let packages: Vec<&str> = subject
        .workspace
        .default_members()
        .filter(|package| package.has_default_features())
        .map(|package| package.name.as_str())
        .collect();
    if packages.is_empty() {
        return Ok(Verdict::Passed {
            note: "no crate has any".to_owned(),
        });
    }
    let mut command = subject.context.cargo(&[
        "clippy",
        "--quiet",
        "--all-targets",
        "--no-default-features",
    ]);
    for package in &packages {
        command.args(["--package", package]);
    }
    command
        .args(["--", "--deny", "warnings"])
        .envs(subject.object_if_built());
    verdict(&mut command)
}

pub(crate) fn clippy_kernel_programs(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    verdict(&mut kernel_object::check(subject.context)?)
}

pub(crate) fn documentation(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut command = subject
        .context
        .cargo(&["doc", "--quiet", "--no-deps", "--keep-going"]);
    verdict(
        command
            .envs(subject.object_if_built())
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Advisories are left out: their database is a repository, not a registry; see `deny.toml`.
pub(crate) fn deny(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut command = Command::new(cargo_deny(subject.context));
    command.args([
        "--log-level",
        "error",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);
    verdict(command.current_dir(&subject.context.root))
}

fn verdict(command: &mut Command) -> anyhow::Result<Verdict> {
    let finished = capture(command)?;
    if finished.status.success() {
        return Ok(Verdict::passed());
    }
    Ok(Verdict::Failed {
        report: format!("$ {}\n{}", typed(command), finished.text.trim_end()),
    })
}

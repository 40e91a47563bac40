//! Building a part's program for an image: for release, with nothing of this machine in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::part::Present;
use crate::artifacts;
use crate::command::quietly;
use crate::context::Context;
use crate::kernel_object;

/// For whom an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For whoever runs Lanyard.
    Release,
    /// For tests: the programs that are there already, which were compiled within seconds.
    Development,
}

/// The program of a part.
pub(crate) fn of(
    context: &Context,
    present: &Present<'_>,
    object: Option<&Path>,
    profile: Profile,
) -> anyhow::Result<PathBuf> {
    match profile {
        Profile::Release => build(context, present, object),
        Profile::Development => Ok(artifacts::programs(context).join(present.part.program)),
    }
}

/// Apart from other builds, whose compiler flags differ.
fn folder(context: &Context) -> PathBuf {
    context.target().join("images/build")
}

/// Builds a part by itself, so that no other part's wishes are in it, and returns its program.
fn build(
    context: &Context,
    present: &Present<'_>,
    object: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let mut command = context.cargo(&["build", "--release", "--locked", "--package"]);
    command
        .arg(&present.package.name)
        .args(["--bin", present.part.program]);
    if !present.part.has_default_features {
        command.arg("--no-default-features");
    }
    without_this_machine(&mut command, context);
    if let Some(object) = object {
        command.env(kernel_object::VARIABLE, object);
    }
    quietly(&mut command)?;
    let program = folder(context).join("release").join(present.part.program);
    no_trace(&program, context)?;
    Ok(program)
}

/// The same program from the same source, wherever the checkout and cargo's own folder are.
fn without_this_machine(command: &mut Command, context: &Context) {
    let folders = context.names_of_folders();
    let rust = folders
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let c: Vec<String> = folders
        .iter()
        .map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()))
        .collect();
    command
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            rust.collect::<Vec<_>>().join("\x1f"),
        )
        .env("CFLAGS", c.join(" "))
        .env("CXXFLAGS", c.join(" "))
        .env("CARGO_TARGET_DIR", folder(context))
        .env("CARGO_INCREMENTAL", "0");
    for name in ["RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
}

/// That what was asked of the compilers was done.
fn no_trace(program: &Path, context: &Context) -> anyhow::Result<()> {
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    for (folder, _) in context.names_of_folders() {
        let Some(name) = folder.to_str() else {
            continue;
        };
        if let Some(around) = text_with(&bytes, name.as_bytes()) {
            bail!(
                "{} has a path of this machine in it: {around}",
                program.display()
            );
        }
    }
    Ok(())
}

/// The text in which a path is, with what follows it.
fn text_with(bytes: &[u8], path: &[u8]) -> Option<String> {
    // A folder's name that ends there: `/root` must not be found in `/rootfs`.
    let is_here = |window: &[u8]| window.strip_prefix(path) == Some(b"/".as_slice());
    let start = bytes.windows(path.len() + 1).position(is_here)?;
    let rest = bytes.get(start..)?;
    let end = rest
        .iter()
        .position(|byte| !byte.is_ascii_graphic())
        .unwrap_or(rest.len());
    Some(String::from_utf8_lossy(&rest[..end.min(200)]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_with_what_follows_it() {
        let bytes = b"\0\x01/home/me/work/src/a.rs\0more";
        assert_eq!(
            text_with(bytes, b"/home/me").as_deref(),
            Some("/home/me/work/src/a.rs")
        );
        assert_eq!(text_with(bytes, b"/home/m"), None);
        assert_eq!(text_with(bytes, b"/root"), None);
    }
}

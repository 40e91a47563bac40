//! Building the kernel programs into the one object file that the node agent carries.

use std::path::PathBuf;
use std::process::Command;

use anyhow::bail;

use crate::bpf_toolchain::{self, TARGET, Toolchain};
use crate::command;
use crate::console::Step;
use crate::context::Context;

/// Tells the node agent's build script where the object is.
pub(crate) const VARIABLE: &str = "LANYARD_BPF_OBJECT";

const PACKAGE: &str = "lanyard-node-agent-ebpf";
const PROGRAM: &str = "core";

/// The kernel has no unwinding and no dynamic linking, and finds types in the BTF that bpf-linker
/// makes from debug information; so nothing is stripped, and one unit is optimised as a whole.
const PROFILE: &[&str] = &[
    "profile.release.panic=\"abort\"",
    "profile.release.strip=\"none\"",
    "profile.release.debug=2",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.opt-level=3",
];

/// Pedantic lints speak of host code. Here functions must be inlined into a program and arguments
/// passed by value, for the verifier follows those best.
const PEDANTIC_OFF: &str = "-Aclippy::pedantic";

/// Where the object is, once built.
pub(crate) fn path(context: &Context) -> PathBuf {
    folder(context).join(TARGET).join("release").join(PROGRAM)
}

/// Builds the object, says so, and returns its path.
pub(crate) fn build(context: &Context) -> anyhow::Result<PathBuf> {
    let step = Step::start("building the kernel programs");
    let built = build_quietly(context);
    match &built {
        Ok(_) => step.passed(""),
        Err(_) => step.failed(""),
    }
    built
}

/// Builds the object and returns its path.
pub(crate) fn build_quietly(context: &Context) -> anyhow::Result<PathBuf> {
    let toolchain = bpf_toolchain::chosen(context)?;
    let mut command = cargo(
        context,
        &toolchain,
        &["build", "--bin", PROGRAM, "--target-dir"],
    );
    command.arg(folder(context)).env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags(&toolchain, &names(context)),
    );
    command::quietly(&mut command)?;
    let object = path(context);
    if !object.is_file() {
        bail!("cargo built no {}", object.display());
    }
    Ok(object)
}

/// A command that checks the kernel programs with clippy, or with the compiler alone where its
/// clippy is not installed. Warnings are errors.
pub(crate) fn check(context: &Context) -> anyhow::Result<Command> {
    let toolchain = bpf_toolchain::chosen(context)?;
    let mut command = cargo(context, &toolchain, &["check", "--quiet", "--target-dir"]);
    command.arg(context.target().join("bpf-lint")).env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags(&toolchain, &["-Dwarnings", PEDANTIC_OFF].map(str::to_owned)),
    );
    if let Toolchain::Debian { rustc, .. } = &toolchain {
        let driver = rustc.with_file_name("clippy-driver");
        if driver.is_file() {
            command.env("RUSTC_WORKSPACE_WRAPPER", driver);
        }
    }
    Ok(command)
}

/// Apart from what runs on this machine: another compiler, other flags.
fn folder(context: &Context) -> PathBuf {
    context.target().join("bpf")
}

fn cargo(context: &Context, toolchain: &Toolchain, verb: &[&str]) -> Command {
    let mut command = match toolchain {
        Toolchain::Debian { rustc, .. } => {
            let mut command = context.cargo(&[]);
            command.env("RUSTC", rustc);
            command
        }
        Toolchain::Nightly { .. } => {
            let mut command = Command::new("rustup");
            command
                .args(["run", "nightly", "cargo"])
                .current_dir(&context.root)
                .env_remove("RUSTC");
            command
        }
    };
    // `asm!` for BPF is not stable: `asm_experimental_arch`.
    command.env("RUSTC_BOOTSTRAP", "1");
    for name in [
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_TARGET",
    ] {
        command.env_remove(name);
    }
    command
        .args(verb.iter().take(1))
        .args(["--release", "--package", PACKAGE, "--target", TARGET]);
    for setting in PROFILE {
        command.args(["--config", setting]);
    }
    if matches!(toolchain, Toolchain::Nightly { .. }) {
        command.arg("-Zbuild-std=core");
    }
    command.args(verb.iter().skip(1));
    command
}

/// BTF keeps the name of each source file; with these, the object is the same from every checkout.
fn names(context: &Context) -> Vec<String> {
    let names = context.names_of_folders().into_iter();
    names
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect()
}

/// Compiler flags as `CARGO_ENCODED_RUSTFLAGS` wants them: separated by the unit separator.
fn flags(toolchain: &Toolchain, more: &[String]) -> String {
    let (Toolchain::Debian { linker, .. } | Toolchain::Nightly { linker }) = toolchain;
    // The target architecture of the traced kernel; aya-ebpf picks register layouts by it.
    let mut flags = vec![
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        // Atomic instructions that return what was before; every kernel since 5.12 has them.
        "-Ctarget-cpu=v3".to_owned(),
    ];
    flags.extend_from_slice(more);
    flags.join("\x1f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_keep_btf_and_name_the_linker() {
        let toolchain = Toolchain::Debian {
            rustc: "/usr/bin/rustc".into(),
            linker: "/tools/bpf-linker".into(),
        };
        let flags = flags(&toolchain, &["-Dwarnings".to_owned()]);
        let flags: Vec<&str> = flags.split('\x1f').collect();
        assert!(flags.contains(&"-Clinker=/tools/bpf-linker"));
        assert!(flags.contains(&"-Clink-arg=--btf"));
        assert_eq!(flags.last(), Some(&"-Dwarnings"));
    }
}

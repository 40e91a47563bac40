//! Finding a compiler that can build for the kernel, or getting one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::command::{capture, find};
use crate::console::say;
use crate::context::Context;
use crate::setup::{CargoTool, Debian};

/// Where Debian's llvm-22-dev lives; the LLVM of its rustc-web.
pub(crate) const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// Debian's compiler, whatever rustup puts first on PATH.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The kernel's target, little endian.
pub(crate) const TARGET: &str = "bpfel-unknown-none";

/// For machines where Debian's compiler is not to be had.
pub(crate) const RUSTUP_WAY: &str = "\
With rustup (a way that is not tested here), type:
    rustup toolchain install nightly --component rust-src
    cargo install bpf-linker
and then the same verb again.";

/// A compiler for [`TARGET`], and the linker that goes with its LLVM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// Debian's rustc-web, which brings a built core library.
    Debian { rustc: PathBuf, linker: PathBuf },
    /// A rustup nightly with `rust-src`, which builds core itself.
    Nightly { linker: PathBuf },
}

/// Whether this machine has no compiler of Debian's for it, and a nightly that will do.
pub(crate) fn comes_from_rustup() -> bool {
    !debian_has_core() && nightly_has_source()
}

/// Makes sure that there is one, building bpf-linker where it is missing.
pub(crate) fn ready(context: &Context) -> anyhow::Result<()> {
    if debian_has_core() && Path::new(LLVM_PREFIX).exists() {
        return CargoTool::BPF_LINKER.install(context);
    }
    if !nightly_has_source() {
        bail!("{}", instructions(Debian::detect()?.is_some()));
    }
    if find("bpf-linker").is_none() {
        bail!(
            "a rustup nightly with rust-src is here, bpf-linker is not on PATH.\nType:\n    cargo install bpf-linker"
        );
    }
    say("… a rustup nightly will build the kernel programs, a way that is not tested here");
    Ok(())
}

/// The toolchain to use, once [`ready`] has been called.
pub(crate) fn chosen(context: &Context) -> anyhow::Result<Toolchain> {
    let linker = CargoTool::BPF_LINKER.program(context);
    if linker.is_file() && debian_has_core() {
        return Ok(Toolchain::Debian {
            rustc: DEBIAN_RUSTC.into(),
            linker,
        });
    }
    match find("bpf-linker") {
        Some(linker) if nightly_has_source() => Ok(Toolchain::Nightly { linker }),
        _ => bail!("no compiler for the kernel programs: run `cargo xtask setup`"),
    }
}

fn debian_has_core() -> bool {
    Path::new(DEBIAN_RUSTC).exists()
        && printed(Command::new(DEBIAN_RUSTC).args([
            "--print",
            "target-libdir",
            "--target",
            TARGET,
        ]))
        .is_some_and(|folder| Path::new(&folder).is_dir())
}

fn nightly_has_source() -> bool {
    printed(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))
        .is_some_and(|sysroot| {
            Path::new(&sysroot)
                .join("lib/rustlib/src/rust/library/core")
                .is_dir()
        })
}

fn printed(command: &mut Command) -> Option<String> {
    let finished = capture(command).ok()?;
    finished
        .status
        .success()
        .then(|| finished.text.trim().to_owned())
}

fn instructions(debian: bool) -> String {
    let first = if debian {
        "As root on Debian 12 or newer, type:\n    cargo xtask setup\n"
    } else {
        ""
    };
    format!("no compiler for the kernel programs (target {TARGET}) was found.\n{first}{RUSTUP_WAY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_machine_is_told_what_to_type() {
        assert!(instructions(true).contains("cargo xtask setup"));
        assert!(!instructions(false).contains("cargo xtask setup"));
        assert!(
            instructions(false).contains("rust-src") && instructions(false).contains("bpf-linker")
        );
    }
}

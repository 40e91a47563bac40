//! Cargo tools of one exact version, in a folder of their own outside the checkout.
//!
//! The folder's name says version and features, so another version is another folder, nothing on
//! PATH decides what runs, and a person's own `cargo install` is left alone.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::bpf_toolchain::LLVM_PREFIX;
use crate::command::quietly;
use crate::console::Step;
use crate::context::Context;

/// A program that `cargo install` builds.
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
    /// Part of the folder's name, when features were chosen.
    variant: &'static str,
    options: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

impl CargoTool {
    pub(crate) const BPF_LINKER: Self = Self {
        name: "bpf-linker",
        version: "0.13.0",
        variant: "-llvm22",
        options: &["--no-default-features", "--features", "llvm-22"],
        environment: &[("LLVM_PREFIX", LLVM_PREFIX)],
    };

    pub(crate) const DENY: Self = Self {
        name: "cargo-deny",
        version: "0.20.2",
        variant: "",
        // Half the time to build, and its checks take two seconds all the same.
        options: &["--debug"],
        environment: &[],
    };

    pub(crate) const FUZZ: Self = Self {
        name: "cargo-fuzz",
        version: "0.13.1",
        variant: "",
        // It only starts others.
        options: &["--debug"],
        environment: &[],
    };

    /// Where the program is or will be.
    pub(crate) fn program(&self, context: &Context) -> PathBuf {
        self.folder(context).join("bin").join(self.name)
    }

    /// Builds the tool if it is not there.
    pub(crate) fn install(&self, context: &Context) -> anyhow::Result<()> {
        if self.program(context).is_file() {
            return Ok(());
        }
        let folder = self.folder(context);
        let step = Step::start(format!(
            "building {} {} into {}",
            self.name,
            self.version,
            folder.display()
        ));
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let version = format!("={}", self.version);
        let mut command = context.cargo(&[
            "install",
            self.name,
            "--version",
            &version,
            "--locked",
            "--root",
        ]);
        command
            .arg(&folder)
            .args(self.options)
            .envs(self.environment.iter().copied());
        // A checkout's own flags and target folder are not the tool's.
        command
            .current_dir(&folder)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR");
        match quietly(&mut command) {
            Ok(()) => step.passed(""),
            Err(error) => {
                step.failed("cargo install did not succeed");
                return Err(error);
            }
        }
        Ok(())
    }

    fn folder(&self, context: &Context) -> PathBuf {
        context
            .tools
            .join(format!("{}-{}{}", self.name, self.version, self.variant))
    }
}

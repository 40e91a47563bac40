//! What a verb knows about where it runs: the checkout, cargo, and the folder for tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// What the environment says; read once, here.
#[derive(clap::Args)]
pub(crate) struct Environment {
    /// A test that cannot run here is a failure
    #[arg(long, env = "CI", global = true, value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    ci: bool,
    #[arg(
        long,
        env = "CARGO",
        global = true,
        hide = true,
        default_value = "cargo"
    )]
    cargo: PathBuf,
    #[arg(long, env = "XDG_CACHE_HOME", global = true, hide = true)]
    cache: Option<PathBuf>,
    #[arg(long, env = "CARGO_TARGET_DIR", global = true, hide = true)]
    target: Option<PathBuf>,
    #[arg(long, env = "CARGO_HOME", global = true, hide = true)]
    cargo_home: Option<PathBuf>,
}

/// The checkout, and the tools used on it.
pub(crate) struct Context {
    /// The folder with the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo tools that are not part of a toolchain, one folder per version; outside the checkout.
    pub(crate) tools: PathBuf,
    /// Whether a skipped test is a failure.
    pub(crate) ci: bool,
    cargo: PathBuf,
    target: PathBuf,
    cargo_home: PathBuf,
}

impl Context {
    pub(crate) fn new(environment: Environment) -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is not inside a workspace")?
            .to_owned();
        let home = || std::env::home_dir().context("the home folder is not known: set HOME");
        let cache = match environment.cache.filter(|path| path.is_absolute()) {
            Some(cache) => cache,
            None => home()?.join(".cache"),
        };
        let cargo_home = match environment.cargo_home {
            Some(folder) => folder,
            None => home()?.join(".cargo"),
        };
        // What cargo itself goes by, so that what it builds is found.
        let target = root.join(environment.target.unwrap_or_else(|| "target".into()));
        Ok(Self {
            target,
            root,
            tools: cache.join("lanyard/tools"),
            ci: environment.ci,
            cargo: environment.cargo,
            cargo_home,
        })
    }

    /// Cargo, in the workspace, as if typed in a shell.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir(&self.root);
        forget_outer_cargo(&mut command);
        command
    }

    /// A tool that calls cargo, in a folder of the workspace, as if typed in a shell there.
    pub(crate) fn tool(&self, program: &Path, folder: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root.join(folder));
        forget_outer_cargo(&mut command);
        // What is relative in a shell of the workspace stays where it is.
        command
            .env("CARGO", &self.cargo)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// The folders of this machine that compilers meet, each with what is written into programs in its place. Of
    /// two that match, the later counts.
    pub(crate) fn names_of_folders(&self) -> [(&Path, &'static str); 3] {
        [
            (&self.root, "/lanyard"),
            (&self.cargo_home, "/cargo"),
            (&self.target, "/lanyard/target"),
        ]
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target(&self) -> PathBuf {
        self.target.clone()
    }
}

/// `cargo run` describes xtask itself to its child. Passed on to another cargo, build scripts that
/// watch those variables run again each time a person changes between `cargo build` and a verb.
fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if describes_xtask(&name) {
            command.env_remove(name);
        }
    }
}

fn describes_xtask(name: &OsString) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    name.starts_with("CARGO_PKG_")
        || matches!(
            name,
            "CARGO"
                | "CARGO_BIN_NAME"
                | "CARGO_CRATE_NAME"
                | "CARGO_MANIFEST_DIR"
                | "CARGO_MANIFEST_PATH"
                | "CARGO_PRIMARY_PACKAGE"
                | "LD_LIBRARY_PATH"
                | "OUT_DIR"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cargo_run_adds_is_forgotten() {
        assert!(describes_xtask(&"CARGO_PKG_NAME".into()));
        assert!(describes_xtask(&"CARGO_MANIFEST_DIR".into()));
        assert!(!describes_xtask(&"CARGO_HOME".into()));
        assert!(!describes_xtask(&"CARGO_TERM_COLOR".into()));
        assert!(!describes_xtask(&"PATH".into()));
    }
}

//! Debian and its kin: which packages are missing, and installing them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::apt_services::NoServices;
use crate::bpf_toolchain::RUSTUP_WAY;
use crate::command::{capture, quietly};
use crate::console::Step;

/// A machine with dpkg and apt.
pub(crate) struct Debian {
    is_root: bool,
}

impl Debian {
    /// None where packages come from elsewhere.
    pub(crate) fn detect() -> anyhow::Result<Option<Self>> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        if !is_kin(&release) || !Path::new("/usr/bin/apt-get").exists() {
            return Ok(None);
        }
        Ok(Some(Self {
            is_root: is_root()?,
        }))
    }

    /// Installs what is missing. A person who is not root is told what to type.
    pub(crate) fn install_missing(&self, packages: &[&str]) -> anyhow::Result<()> {
        let missing = missing(packages, &installed(packages)?);
        if missing.is_empty() {
            return Ok(());
        }
        if !self.is_root {
            bail!(
                "these Debian packages are missing: {0}\nAs root, type:\n    apt-get update\n    apt-get install --no-install-recommends {0}",
                missing.join(" ")
            );
        }
        // A source of someone else that cannot be reached must not stop us: the install decides.
        let step = Step::start("reading Debian's package lists");
        let update = capture(apt().args(["-qq", "update"]))?;
        step.passed(if update.status.success() {
            ""
        } else {
            "not all of them could be read"
        });

        let step = Step::start(format!("installing from Debian: {}", missing.join(" ")));
        let services = NoServices::begin()?;
        let install = quietly(NoServices::guard(
            apt()
                .args(["-qq", "install", "--yes", "--no-install-recommends"])
                .args(&missing),
        ));
        let stopped = services.end()?;
        match install {
            Ok(()) => step.passed(&stopped),
            Err(error) => {
                step.failed("apt-get did not succeed");
                return Err(error.context(advice(&update.text)));
            }
        }
        Ok(())
    }
}

/// Whether this process may change the machine.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    // Uid: real, effective, saved, file system.
    Ok(status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .and_then(|ids| ids.split_whitespace().nth(1))
        == Some("0"))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .args([
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Dpkg::Options::=--force-confold",
        ])
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn advice(update: &str) -> String {
    let mut text = String::from("installing Debian packages failed\n");
    if !update.trim().is_empty() {
        text.extend(["reading the package lists had said:\n", update.trim(), "\n"]);
    }
    text.extend(["Some releases have no rustc-web. ", RUSTUP_WAY]);
    text
}

fn is_kin(os_release: &str) -> bool {
    os_release.lines().any(|line| {
        let Some((key, value)) = line.split_once('=') else {
            return false;
        };
        matches!(key, "ID" | "ID_LIKE")
            && value.trim_matches('"').split(' ').any(|id| id == "debian")
    })
}

/// The names among `packages` that dpkg has fully installed.
fn installed(packages: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    // dpkg-query fails when one name is unknown to it, and still lists the others.
    let finished = capture(
        Command::new("dpkg-query")
            .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
            .args(packages),
    )?;
    Ok(finished
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect())
}

fn missing<'a>(wanted: &[&'a str], installed: &BTreeSet<String>) -> Vec<&'a str> {
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    wanted
        .into_iter()
        .filter(|name| !installed.contains(*name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_kin_are_told_from_others() {
        assert!(is_kin("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(is_kin("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_kin("ID=pop\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_kin("ID=fedora\nHOME_URL=\"https://debian.example\"\n"));
    }

    #[test]
    fn only_what_is_not_installed_is_missing() {
        let installed = BTreeSet::from(["curl".to_owned()]);
        assert_eq!(missing(&["make", "curl", "make"], &installed), ["make"]);
    }
}

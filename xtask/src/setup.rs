//! `cargo xtask setup`: what the other verbs need, installed where that is allowed.
//!
//! Every verb calls [`ready`] for its own needs first. On a machine that has all of it, that costs
//! a few file look-ups and prints nothing.

mod apt_services;
mod cargo_tool;
mod debian;
mod mounts;

use std::path::PathBuf;

use crate::bpf_toolchain;
use crate::console::say;
use crate::context::Context;
use crate::kernel_object;

pub(crate) use cargo_tool::CargoTool;
pub(crate) use debian::{Debian, is_root};
pub(crate) use mounts::{bpffs_is_mounted, cgroup2_root};

/// What a verb is about to do, hence what must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Compile the crates.
    Build,
    /// Compile the kernel programs.
    KernelPrograms,
    /// Run them, against real clients and servers.
    Run,
    /// Bring up a Kubernetes on this machine.
    Cluster,
    /// Run what others made beside them.
    Compare,
    /// Check the crates and the kernel programs.
    Lint,
    /// Compile and run the fuzz targets.
    Fuzz,
}

/// `cargo xtask setup`.
pub(crate) fn run(context: &Context) -> anyhow::Result<()> {
    ready(
        context,
        &[
            Need::Build,
            Need::KernelPrograms,
            Need::Run,
            Need::Cluster,
            Need::Lint,
            Need::Fuzz,
        ],
    )?;
    let object = kernel_object::build(context)?;
    match cgroup2_root()? {
        Some(root) => say(&format!("✓ cgroup v2 is at {}", root.display())),
        None => {
            say("✗ no cgroup v2 is mounted: the tests that load kernel programs will be skipped");
        }
    }
    say("All is there. To use cargo directly with the kernel programs inside the node agent:");
    say(&format!(
        "    export {}={}",
        kernel_object::VARIABLE,
        object.display()
    ));
    Ok(())
}

/// Makes the machine fit for `needs`, or says what a person must type.
pub(crate) fn ready(context: &Context, needs: &[Need]) -> anyhow::Result<()> {
    if let Some(debian) = Debian::detect()? {
        debian.install_missing(&packages(needs, bpf_toolchain::comes_from_rustup()))?;
    }
    if needs.contains(&Need::KernelPrograms) {
        bpf_toolchain::ready(context)?;
    }
    if needs.contains(&Need::Lint) {
        CargoTool::DENY.install(context)?;
    }
    if needs.contains(&Need::Fuzz) {
        CargoTool::FUZZ.install(context)?;
    }
    if needs.contains(&Need::Run) {
        mounts::mount_bpffs()?;
    }
    Ok(())
}

/// The program, once [`ready`] has been called.
pub(crate) fn cargo_deny(context: &Context) -> PathBuf {
    CargoTool::DENY.program(context)
}

/// The program, once [`ready`] has been called.
pub(crate) fn cargo_fuzz(context: &Context) -> PathBuf {
    CargoTool::FUZZ.program(context)
}

/// Someone whose kernel programs are built by a rustup nightly needs no second compiler.
fn packages(needs: &[Need], from_rustup: bool) -> Vec<&'static str> {
    let wanted = needs
        .iter()
        .filter(|need| !(from_rustup && matches!(need, Need::KernelPrograms | Need::Lint)));
    let of = |need, programs: &'static [(&str, &str)]| {
        let wanted = if needs.contains(&need) { programs } else { &[] };
        wanted.iter().filter(|(program, _)| !is_on_path(program))
    };
    let missing = of(Need::Run, &PEERS).chain(of(Need::Cluster, &CONTAINERS));
    wanted
        .flat_map(|need| need.packages())
        .chain(missing.map(|(_, package)| package))
        .copied()
        .collect()
}

/// Programs of others that the tests speak with, each with Debian's package: not wanted where the program is
/// there from elsewhere.
const PEERS: [(&str, &str); 17] = [
    ("wget", "wget"),
    ("openssl", "openssl"),
    ("gnutls-cli", "gnutls-bin"),
    ("ruby", "ruby"),
    ("php", "php-cli"),
    ("php", "php-curl"),
    ("npm", "npm"),
    ("go", "golang-go"),
    ("javac", "default-jdk-headless"),
    ("psql", "postgresql"),
    ("redis-server", "redis-server"),
    ("redis-cli", "redis-tools"),
    ("fcgiwrap", "fcgiwrap"),
    ("dig", "bind9-dnsutils"),
    ("ssh", "openssh-client"),
    ("sshd", "openssh-server"),
    ("musl-gcc", "musl-tools"),
];

/// What runs containers, and what Kubernetes is built with. Other makers' packages of them are in the way of Debian's,
/// which would take them away.
const CONTAINERS: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    // Argo CD's health checks.
    ("lua5.1", "lua5.1"),
    ("go", "golang-go"),
];

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are where only root looks.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders
        .into_iter()
        .any(|folder: PathBuf| folder.join(program).is_file())
}

impl Need {
    /// Debian's names.
    fn packages(self) -> &'static [&'static str] {
        match self {
            // The C parts of aws-lc-rs.
            Self::Build => &["gcc", "libc6-dev", "make", "cmake", "ca-certificates"],
            // Debian's browser-grade rustc has the BPF target's core library; bpf-linker links to
            // the same LLVM that this rustc was built with.
            Self::KernelPrograms => &["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev", "g++"],
            Self::Run => &[
                "nginx-light",
                "curl",
                "python3",
                // What a coding agent works with.
                "nodejs",
                "git",
                "perl",
                "python3-venv",
                "util-linux",
                "iproute2",
                "mount",
            ],
            Self::Cluster => &[
                "containernetworking-plugins",
                "busybox-static",
                "curl",
                "util-linux",
                "iproute2",
                "mount",
                "procps",
            ],
            Self::Compare => &["haproxy", "squid-openssl"],
            Self::Lint => &["rust-web-clippy"],
            // libFuzzer is C++.
            Self::Fuzz => &["g++"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_gets_what_it_needs_and_no_more() {
        let packages = packages(&[Need::Build], false);
        assert!(packages.contains(&"gcc") && !packages.contains(&"rustc-web"));
    }

    #[test]
    fn a_nightly_makes_debians_compiler_needless() {
        let needs = [Need::Build, Need::KernelPrograms, Need::Run];
        assert!(packages(&needs, false).contains(&"rustc-web"));
        assert!(!packages(&needs, true).contains(&"rustc-web"));
        assert!(packages(&needs, true).contains(&"nginx-light"));
    }
}

//! What this machine has, and what that rules out.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::tier::Tier;
use crate::setup::{bpffs_is_mounted, cgroup2_root, is_root};

/// What stands in the way here; the first is told, and what cannot be mended comes first.
#[derive(Clone, Debug)]
pub(crate) struct Machine(BTreeSet<Obstacle>);

/// Why a tier cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    KernelTooOld,
    NoKernelTypes,
    NotRoot,
    NoCgroup2,
    NoBpffs,
}

/// The oldest kernel the programs are written for.
const OLDEST_KERNEL: (u32, u32) = (6, 1);

impl Machine {
    pub(crate) fn inspect() -> anyhow::Result<Self> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")
            .context("read the kernel's release")?;
        let kernel = version(&release)
            .with_context(|| format!("understand the kernel release {release:?}"))?;
        let found = [
            (kernel < OLDEST_KERNEL, Obstacle::KernelTooOld),
            (
                !Path::new("/sys/kernel/btf/vmlinux").exists(),
                Obstacle::NoKernelTypes,
            ),
            (!is_root()?, Obstacle::NotRoot),
            (cgroup2_root()?.is_none(), Obstacle::NoCgroup2),
            (!bpffs_is_mounted()?, Obstacle::NoBpffs),
        ];
        Ok(Self(
            found
                .into_iter()
                .filter(|(stands, _)| *stands)
                .map(|(_, obstacle)| obstacle)
                .collect(),
        ))
    }

    /// What keeps `tier` from running.
    pub(crate) fn obstacle(&self, tier: Tier) -> Option<Obstacle> {
        self.0.first().copied().filter(|_| tier.needs_kernel())
    }
}

impl Obstacle {
    /// For the person who reads what was skipped.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::KernelTooOld => "the kernel is older than 6.1",
            Self::NoKernelTypes => "the kernel has no BTF (/sys/kernel/btf/vmlinux)",
            Self::NotRoot => "loading kernel programs needs root",
            Self::NoCgroup2 => "no cgroup v2 is mounted",
            Self::NoBpffs => "/sys/fs/bpf is not a bpffs, and mounting one did not work",
        }
    }

    /// The list of what may be skipped even where CI is set: a reason that holds for any set-up of
    /// such a machine, or None for what a set-up could mend.
    pub(crate) fn not_possible_here(self) -> Option<&'static str> {
        match self {
            Self::KernelTooOld => {
                Some("task storage and the sock_ops helpers the programs use came with 6.1")
            }
            Self::NoKernelTypes => {
                Some("field offsets are read from the running kernel's BTF, and there is none")
            }
            Self::NotRoot | Self::NoCgroup2 | Self::NoBpffs => None,
        }
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine<const N: usize>(obstacles: [Obstacle; N]) -> Machine {
        Machine(BTreeSet::from(obstacles))
    }

    #[test]
    fn a_fit_machine_runs_every_tier() {
        assert!(
            Tier::ALL
                .iter()
                .all(|tier| machine([]).obstacle(*tier).is_none())
        );
    }

    #[test]
    fn a_user_runs_unit_tests_only() {
        let machine = machine([Obstacle::NoBpffs, Obstacle::NotRoot]);
        assert_eq!(machine.obstacle(Tier::Unit), None);
        assert_eq!(machine.obstacle(Tier::Kernel), Some(Obstacle::NotRoot));
        assert_eq!(machine.obstacle(Tier::Demo), Some(Obstacle::NotRoot));
    }

    #[test]
    fn what_cannot_be_mended_is_told_first() {
        let machine = machine([Obstacle::NotRoot, Obstacle::KernelTooOld]);
        assert_eq!(machine.obstacle(Tier::Kernel), Some(Obstacle::KernelTooOld));
    }

    #[test]
    fn what_a_setup_could_mend_is_no_excuse() {
        assert!(Obstacle::NotRoot.not_possible_here().is_none());
        assert!(Obstacle::NoBpffs.not_possible_here().is_none());
        assert!(Obstacle::KernelTooOld.not_possible_here().is_some());
    }

    #[test]
    fn kernel_releases_are_compared_as_numbers() {
        assert_eq!(version("6.18.44-cloud-amd64\n"), Some((6, 18)));
        assert_eq!(version("5.10.0-28"), Some((5, 10)));
        assert!(version("6.12").unwrap() > OLDEST_KERNEL);
        assert_eq!(version("unknown"), None);
    }
}

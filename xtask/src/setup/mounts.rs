//! The two file systems the kernel programs live in: bpffs for pins, cgroup v2 for attaching.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::debian::is_root;
use crate::command::quietly;
use crate::console::say;

const BPFFS: &str = "/sys/fs/bpf";

/// Mounts bpffs where it belongs. Someone who is not root goes without, and without the tests
/// that need it.
pub(crate) fn mount_bpffs() -> anyhow::Result<()> {
    if bpffs_is_mounted()? || !is_root()? {
        return Ok(());
    }
    fs::create_dir_all(BPFFS).with_context(|| format!("make {BPFFS}"))?;
    match quietly(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS])) {
        Ok(()) => say(&format!("✓ mounted bpffs at {BPFFS}")),
        Err(error) => say(&format!("✗ {error:#}")),
    }
    Ok(())
}

/// Whether `/sys/fs/bpf` is a bpffs.
pub(crate) fn bpffs_is_mounted() -> anyhow::Result<bool> {
    Ok(mount_points(&mount_info()?, "bpf").any(|point| point == BPFFS))
}

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside version 1.
pub(crate) fn cgroup2_root() -> anyhow::Result<Option<PathBuf>> {
    Ok(mount_points(&mount_info()?, "cgroup2")
        .next()
        .map(PathBuf::from))
}

fn mount_info() -> anyhow::Result<String> {
    fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")
}

/// Mount points of one file system type; proc(5), `mountinfo`: the fifth field is the point, and
/// the type follows a lone hyphen.
fn mount_points<'a>(mount_info: &'a str, kind: &'a str) -> impl Iterator<Item = &'a str> {
    mount_info.lines().filter_map(move |line| {
        let (mount, system) = line.split_once(" - ")?;
        (system.split(' ').next() == Some(kind)).then(|| mount.split(' ').nth(4))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw
32 30 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:11 - cgroup cgroup rw,memory
40 23 0:36 / /sys/fs/bpf rw,nosuid shared:17 - bpf bpf rw,mode=700
";

    #[test]
    fn mounts_are_found_by_their_type() {
        assert_eq!(
            mount_points(HYBRID, "cgroup2").collect::<Vec<_>>(),
            ["/sys/fs/cgroup/unified"]
        );
        assert_eq!(
            mount_points(HYBRID, "bpf").collect::<Vec<_>>(),
            ["/sys/fs/bpf"]
        );
    }

    #[test]
    fn an_absent_type_has_no_mounts() {
        assert_eq!(mount_points("", "cgroup2").count(), 0);
    }
}

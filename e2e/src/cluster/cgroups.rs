//! The cgroups of a lab, in each hierarchy that the machine has: one folder, and a folder in it for each node, above
//! which its kubelet makes nothing. All that runs on a node is in that of version 2, so that it can be ended even when
//! nobody knows of it any more.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::place::{Node, Place};
use crate::wait;

/// How long the kernel may take until a killed process has left its cgroup.
const EMPTIED: Duration = Duration::from_secs(20);

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    is_v2: bool,
}

/// Makes the cgroup of a node.
pub(super) fn ready(node: Node) -> Result<()> {
    for hierarchy in hierarchies()? {
        let lab = hierarchy.root.join(node.place().cgroup());
        let own = hierarchy.root.join(node.cgroup());
        for folder in [&lab, &own] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            if hierarchy.is_v2 {
                hand_controllers_down(folder)?;
            } else {
                inherit_cpuset(folder)?;
            }
        }
    }
    Ok(())
}

/// The file by which a process enters the cgroup of a node's own programs, beside that of its pods.
pub(super) fn entrance(node: Node) -> Result<PathBuf> {
    let all = hierarchies()?;
    let v2 = all.into_iter().find(|hierarchy| hierarchy.is_v2);
    let root = v2.context("no cgroup v2 is mounted")?.root;
    let folder = root.join(node.cgroup()).join("programs");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder.join("cgroup.procs"))
}

/// Ends all that runs in a cgroup of version 2, at once.
pub(super) fn kill(cgroup: &str) -> Result<()> {
    for hierarchy in hierarchies()?.iter().filter(|hierarchy| hierarchy.is_v2) {
        let file = hierarchy.root.join(cgroup).join("cgroup.kill");
        match fs::write(&file, "1") {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("write {}", file.display())),
        }
    }
    Ok(())
}

/// Removes a cgroup and all below it, as soon as the kernel lets go of them.
pub(super) fn remove(cgroup: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.root.join(cgroup);
        wait::until(&format!("{} is gone", folder.display()), EMPTIED, || {
            remove_below(&folder);
            Ok((!folder.exists()).then_some(()))
        })?;
    }
    Ok(())
}

/// The folders of a lab that are there.
pub(super) fn left(place: Place) -> Result<Vec<String>> {
    let folders = hierarchies()?
        .into_iter()
        .map(|hierarchy| hierarchy.root.join(place.cgroup()));
    Ok(folders
        .filter(|folder| folder.exists())
        .map(|folder| format!("cgroup {}", folder.display()))
        .collect())
}

/// From the inside outwards. What is busy stays for the next time.
fn remove_below(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// In version 1 a new cgroup has no processor and no memory, and takes no process until it has.
fn inherit_cpuset(folder: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = folder.join(name);
        let Ok(value) = fs::read_to_string(&own) else {
            continue;
        };
        if value.trim().is_empty() {
            let parent = folder.parent().unwrap_or(folder).join(name);
            let value = fs::read_to_string(&parent)
                .with_context(|| format!("read {}", parent.display()))?;
            fs::write(&own, value).with_context(|| format!("write {}", own.display()))?;
        }
    }
    Ok(())
}

/// In version 2 a cgroup has the controllers that the one above it hands down.
fn hand_controllers_down(folder: &Path) -> Result<()> {
    let Some(parent) = folder.parent() else {
        return Ok(());
    };
    let path = parent.join("cgroup.controllers");
    let all = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let path = parent.join("cgroup.subtree_control");
    for controller in all.split_whitespace() {
        fs::write(&path, format!("+{controller}"))
            .with_context(|| format!("write +{controller} to {}", path.display()))?;
    }
    Ok(())
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
    Ok(of_mounts(&mounts))
}

/// proc(5), `mountinfo`: the fifth field is the point, and the type follows a lone hyphen. One that is mounted twice
/// is one.
fn of_mounts(mounts: &str) -> Vec<Hierarchy> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((mount, system)) = line.split_once(" - ") else {
            continue;
        };
        let fields: Vec<&str> = mount.split(' ').collect();
        let is_v2 = match system.split(' ').next() {
            Some("cgroup2") => true,
            Some("cgroup") => false,
            _ => continue,
        };
        let (Some(device), Some(point)) = (fields.get(2), fields.get(4)) else {
            continue;
        };
        if !seen.contains(device) {
            seen.push(device);
            found.push(Hierarchy {
                root: point.into(),
                is_v2,
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
52 27 0:38 / /mnt/cgroups rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn each_hierarchy_is_found_once() {
        let hierarchy = |root: &str, is_v2| Hierarchy {
            root: root.into(),
            is_v2,
        };
        assert_eq!(
            of_mounts(HYBRID),
            [
                hierarchy("/sys/fs/cgroup/cpu", false),
                hierarchy("/sys/fs/cgroup/unified", true)
            ]
        );
    }
}

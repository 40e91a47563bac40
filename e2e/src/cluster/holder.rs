//! What keeps a node's namespaces: a process that sleeps in a mount and a network namespace of its own.
//!
//! In there everything is where charts expect it (`/var/lib/kubelet`, `/run/containerd`, `/etc/cni/net.d`), and the
//! host sees none of it. Mounts, links, routes and firewall rules of the node end with the last process in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{
    cgroups, network,
    part::{Part, Record},
    place::{Node, Place},
    process::Process,
};
use crate::{lab, wait};

/// The name of the part.
pub(super) const NAME: &str = "namespaces";

/// How long a program may take to be executed.
const EXECUTED: Duration = Duration::from_secs(10);

/// What of the node's folder is mounted where.
const BOUND: [(&str, &str); 7] = [
    ("kubelet", "/var/lib/kubelet"),
    ("containerd", "/var/lib/containerd"),
    ("cni", "/etc/cni/net.d"),
    ("cni-state", "/var/lib/cni"),
    ("lanyard", "/var/lib/lanyard"),
    ("log-pods", "/var/log/pods"),
    ("log-containers", "/var/log/containers"),
];

/// What is empty at first, and gone with the node.
const EMPTY: [&str; 4] = [
    "/run/containerd",
    "/run/netns",
    "/run/lanyard",
    "/usr/libexec/kubernetes",
];

/// The node's file of that name in the folder that is mounted at `/etc/cni/net.d`.
pub(super) fn network_file(node: Node, name: &str) -> PathBuf {
    node.folder().join("cni").join(name)
}

/// Makes the namespaces, with all that is mounted in them and with their link, unless they are there.
pub(super) fn ready(node: Node) -> Result<()> {
    let ready = node.folder().join("ready");
    if let Some(process) = running(node)? {
        // Whoever made them may have been killed before they were done.
        let was_done = fs::read_to_string(&ready).unwrap_or_default();
        if was_done == process.pid().to_string() && network::has_joined(node) {
            return Ok(());
        }
    }
    // Whatever is left of earlier ones runs in namespaces that nobody can enter any more.
    super::down::end_node(node)?;
    make_mount_points(node)?;
    cgroups::ready(node)?;
    let part = Part {
        node,
        name: NAME,
        program: "unshare".into(),
        arguments: Vec::new(),
        files: Vec::new(),
    };
    let mut command = in_cgroup(node)?;
    // Private first: where the host's root is shared, the node's mounts would show up there.
    command.args(["unshare", "--mount", "--net", "--propagation", "private"]);
    command.args(["--", "sleep", "infinity"]);
    let process = part.spawn(&command, String::new())?;
    let name = format!("/proc/{}/comm", process.pid());
    wait::until("a node has its namespaces", EXECUTED, || {
        let name = fs::read_to_string(&name).context("the process of a node has ended")?;
        Ok((name.trim() == "sleep").then_some(()))
    })?;
    mount(node)?;
    network::join(node)?;
    fs::write(&ready, process.pid().to_string())
        .with_context(|| format!("write {}", ready.display()))
}

/// The process that keeps them, while it runs.
pub(super) fn running(node: Node) -> Result<Option<Process>> {
    let records = Record::all(node.place())?;
    let found = records
        .into_iter()
        .find(|record| record.node == node.index() && record.name == NAME);
    Ok(found.map(|record| record.process).filter(Process::is_alive))
}

/// A command in the node's namespaces, and in its cgroup. It executes: the process that is started is the program's.
pub(super) fn on(node: Node, program: impl AsRef<Path>) -> Result<Command> {
    let Some(process) = running(node)? else {
        bail!("{} of this lab is not up", node.name());
    };
    let mut command = in_cgroup(node)?;
    command
        .args(["nsenter", "--target", &process.pid().to_string()])
        .args(["--mount", "--net", "--"])
        .arg(program.as_ref());
    Ok(command)
}

/// A command, whose words are still to be said, in the node's cgroup.
fn in_cgroup(node: Node) -> Result<Command> {
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo 0 > \"$0\" && exec \"$@\""])
        .arg(cgroups::entrance(node)?);
    Ok(command)
}

fn mount(node: Node) -> Result<()> {
    // Volumes that a driver in a pod mounts are to be seen by the kubelet: `mountPropagation: Bidirectional`.
    run(node, "mount", &["--make-rshared", "/"])?;
    for (from, to) in BOUND {
        let from = node.folder().join(from);
        fs::create_dir_all(&from).with_context(|| format!("make {}", from.display()))?;
        run(node, "mount", &["--bind", &from.display().to_string(), to])?;
    }
    for to in EMPTY {
        run(node, "mount", &["-t", "tmpfs", "tmpfs", to])?;
    }
    // What is pinned there ends with the node, as it does when a machine is switched off.
    run(node, "mount", &["-t", "bpf", "bpf", "/sys/fs/bpf"])
}

fn run(node: Node, program: &str, arguments: &[&str]) -> Result<()> {
    lab::run(on(node, program)?.args(arguments)).map(drop)
}

/// The list of folders that no package had made.
fn made_list() -> PathBuf {
    Place::base().join("made-folders")
}

/// Mount points must be there on the host too.
fn make_mount_points(node: Node) -> Result<()> {
    fs::create_dir_all(node.folder())?;
    let mut made = fs::read_to_string(made_list()).unwrap_or_default();
    let points = BOUND.iter().map(|(_, point)| *point).chain(EMPTY);
    for point in points {
        for folder in missing(Path::new(point)) {
            made.push_str(&folder.display().to_string());
            made.push('\n');
        }
        // Known before it is there, so that it is not left.
        fs::write(made_list(), &made)?;
        fs::create_dir_all(point).with_context(|| format!("make {point}"))?;
    }
    Ok(())
}

/// The folders of a path that are not there, the outermost first.
fn missing(path: &Path) -> Vec<&Path> {
    let mut missing: Vec<&Path> = path.ancestors().filter(|folder| !folder.exists()).collect();
    missing.reverse();
    missing
}

/// Takes away what was made, unless another lab uses it: a folder that is removed takes the mounts on it along, in
/// every namespace.
pub(super) fn remove_mount_points(place: Place) -> Result<()> {
    if place.has_others() {
        return Ok(());
    }
    let made = fs::read_to_string(made_list()).unwrap_or_default();
    for folder in made.lines().rev() {
        // What is not empty has become someone else's.
        let _ = fs::remove_dir(folder);
    }
    if made_list().exists() {
        fs::remove_file(made_list())?;
    }
    Ok(())
}

/// Mount points of ours that are still there although no lab uses them.
pub(super) fn left_mount_points(place: Place) -> Vec<String> {
    if place.has_others() {
        return Vec::new();
    }
    let made = fs::read_to_string(made_list()).unwrap_or_default();
    made.lines()
        .filter(|folder| Path::new(folder).exists())
        .map(|folder| format!("folder {folder}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_from_the_outside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let found = missing(&path);
        assert_eq!(found, [folder.path().join("a"), path.clone()]);
        fs::create_dir_all(&path).unwrap();
        assert!(missing(&path).is_empty());
    }
}

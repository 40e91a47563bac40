//! Taking a lab away, so that nothing of it is left.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    cgroups, holder, kubectl, network,
    part::Record,
    place::{Node, Place},
    progress::Progress,
    status,
};
use crate::wait;

/// How long parts may take to end by themselves. What they would write is removed; the API server alone would take
/// longer, for the sake of clients that are ended too.
const GRACE: Duration = Duration::from_secs(2);

/// How long the kernel may take to be done with namespaces.
const GONE: Duration = Duration::from_secs(20);

/// Ends what runs, and removes all of the lab. What is left is an error that names it.
pub(super) fn down(place: Place, ends_pods: bool, progress: &Progress) -> Result<()> {
    let _lock = Place::lock()?;
    if ends_pods {
        end_pods(place, progress)?;
    }
    // The one with the API server last.
    for node in (1..=Node::MOST).rev().map(|index| place.node(index)) {
        end_node(node)?;
    }
    cgroups::remove(&place.cgroup())?;
    progress.done("every process has ended");
    network::remove(place)?;
    remove_folder(place)?;
    let left = wait::until("nothing is left", GONE, || {
        let left = status::left(place)?;
        Ok(left.is_empty().then_some(()))
    });
    if left.is_err() {
        bail!("left behind: {}", status::left(place)?.join(", "));
    }
    progress.done("nothing is left");
    Ok(())
}

/// By the API, while drivers of volumes still answer: without them, pods would not end in order. What does not end is
/// killed afterwards.
fn end_pods(place: Place, progress: &Progress) -> Result<()> {
    let records = Record::all(place)?;
    let runs = |name: &str| {
        let found = records.iter().find(|record| record.name == name);
        found.is_some_and(|record| record.process.is_alive())
    };
    if !runs("kubelet") || !runs("kube-apiserver") {
        return Ok(());
    }
    for (kinds, timeout) in [
        (
            "deployments,statefulsets,jobs,cronjobs,replicasets,pods",
            "20s",
        ),
        ("daemonsets", "10s"),
    ] {
        let timeout = format!("--timeout={timeout}");
        let deleted = kubectl::command(place)
            .args(["delete", kinds, "--all", "--all-namespaces"])
            .args(["--grace-period=1", &timeout])
            .output()
            .context("start kubectl")?;
        let done = if deleted.status.success() {
            "are gone"
        } else {
            "did not all end, and are killed"
        };
        progress.done(&format!("{kinds} {done}"));
    }
    Ok(())
}

/// Ends one part, if it runs.
pub(super) fn end_part(node: Node, name: &str) -> Result<()> {
    for record in of_node(node)?.iter().filter(|record| record.name == name) {
        record.process.ask_to_end()?;
        record.process.wait_or_kill(GRACE)?;
        record.forget(node.place())?;
    }
    Ok(())
}

/// Ends all that runs on a node, what keeps its namespaces last, and takes away its link and its cgroups.
pub(super) fn end_node(node: Node) -> Result<()> {
    let mut records = of_node(node)?;
    // Without namespaces, whoever is asked to end could not clean up.
    records.sort_by_key(|record| record.name == holder::NAME);
    for record in records.iter().filter(|record| record.name != holder::NAME) {
        record.process.ask_to_end()?;
    }
    let asked = Instant::now();
    for record in &records {
        let is_holder = record.name == holder::NAME;
        let grace = if is_holder {
            Duration::ZERO
        } else {
            GRACE.saturating_sub(asked.elapsed())
        };
        record.process.wait_or_kill(grace)?;
    }
    cgroups::kill(&node.cgroup())?;
    cgroups::remove(&node.cgroup())?;
    for record in &records {
        record.forget(node.place())?;
    }
    network::part_from(node)
}

fn of_node(node: Node) -> Result<Vec<Record>> {
    let mut records = Record::all(node.place())?;
    records.retain(|record| record.node == node.index());
    Ok(records)
}

fn remove_folder(place: Place) -> Result<()> {
    let folder = place.folder();
    match fs::remove_dir_all(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("remove {}", folder.display())),
    }
    holder::remove_mount_points(place)?;
    // There are others, or there is what is not ours.
    let _ = fs::remove_dir(Place::base());
    Ok(())
}

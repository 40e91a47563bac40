//! Nodes that are only objects, for scale: kwok says of them, and of pods on them, what a kubelet would.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    certificates::{Keys, User},
    kubectl,
    part::Part,
    place::Place,
    tool::Program,
};

/// The name of the part.
pub(super) const NAME: &str = "kwok";

/// What marks them. Only these are kwok's.
const MARK: &str = "kwok.x-k8s.io/node";

/// How long all of them may take to be ready.
const READY: Duration = Duration::from_mins(2);

/// The rules that say what nodes and pods do, as they come with kwok's source.
const STAGES: [&str; 5] = [
    "node-initialize.yaml",
    "node-heartbeat-with-lease.yaml",
    "pod-ready.yaml",
    "pod-complete.yaml",
    "pod-delete.yaml",
];

/// The process.
pub(super) fn part(place: Place, keys: Keys, program: &Program) -> Result<Part> {
    let mut stages = Vec::new();
    for name in STAGES {
        let path = program.file(name);
        let text = fs::read_to_string(&path);
        stages.push(text.with_context(|| format!("read {}", path.display()))?);
    }
    let settings = place.folder().join("stages.yaml");
    Ok(Part {
        node: place.node(1),
        name: NAME,
        program: program.path(),
        arguments: vec![
            format!("--config={}", settings.display()),
            format!("--kubeconfig={}", keys.kubeconfig(User::Admin)),
            "--manage-all-nodes=false".into(),
            format!("--manage-nodes-with-annotation-selector={MARK}=fake"),
            "--cidr=10.200.0.0/16".into(),
            format!("--node-ip={}", place.host_address()),
            "--node-lease-duration-seconds=40".into(),
        ],
        files: vec![(settings, stages.join("\n---\n"))],
    })
}

/// Makes as many as there should be, and removes the others.
pub(super) fn settle(place: Place, count: u32) -> Result<()> {
    let more: Vec<String> = present(place)?
        .into_iter()
        .filter(|name| !is_wanted(name, count))
        .collect();
    for names in more.chunks(500) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        kubectl::text(
            place,
            &[&["delete", "node", "--wait=false"], &names[..]].concat(),
        )?;
    }
    if count > 0 {
        let nodes: Vec<Value> = (1..=count).map(node).collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": nodes });
        kubectl::apply(place, &list.to_string())?;
    }
    Ok(())
}

/// Waits until all of them are ready.
pub(super) fn wait_until_ready(place: Place, part: &Part, count: u32) -> Result<()> {
    let count = count as usize;
    part.wait_until("has made its nodes ready", READY, || {
        let nodes = kubectl::json(place, &["get", "nodes", "--selector=type=fake"])?;
        let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
        Ok(nodes
            .iter()
            .filter(|node| super::status::is_ready(node))
            .count()
            == count)
    })
}

fn present(place: Place) -> Result<Vec<String>> {
    let names = kubectl::text(
        place,
        &["get", "nodes", "--selector=type=fake", "--output=name"],
    )?;
    let names = names.lines().filter_map(|line| line.strip_prefix("node/"));
    Ok(names.map(str::to_owned).collect())
}

fn is_wanted(name: &str, count: u32) -> bool {
    let number = name
        .strip_prefix("fake-")
        .and_then(|rest| rest.parse().ok());
    number.is_some_and(|number: u32| number <= count)
}

/// Its taint keeps pods away that do not ask for it.
fn node(number: u32) -> Value {
    let name = format!("fake-{number}");
    let capacity = json!({ "cpu": "32", "memory": "256Gi", "pods": "110" });
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": { MARK: "fake" },
            "labels": { "type": "fake", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
        },
        "spec": { "taints": [{ "key": MARK, "value": "fake", "effect": "NoSchedule" }] },
        "status": { "allocatable": capacity, "capacity": capacity },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_nodes_beyond_the_count_go() {
        assert!(is_wanted("fake-200", 200) && !is_wanted("fake-201", 200));
        assert!(!is_wanted("fake-1", 0) && !is_wanted("n1", 200));
    }

    #[test]
    fn real_pods_stay_away() {
        let node = node(7);
        assert_eq!(node["metadata"]["name"], "fake-7");
        assert_eq!(node["spec"]["taints"][0]["effect"], "NoSchedule");
    }
}

//! What of a lab is there.

use std::{fs, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::Value;

use super::{
    cgroups, holder, kubectl, network,
    part::{self, Record},
    place::Place,
};

/// A lab, as it is found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// In one word.
    pub state: State,
    /// Where clients find the API.
    pub kubeconfig: String,
    /// Its processes.
    pub parts: Vec<PartStatus>,
    /// Its nodes, when the API answers.
    pub nodes: Vec<NodeStatus>,
    /// What is on the machine of a lab that is not up.
    pub left: Vec<String>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// All that was started runs.
    Up,
    /// Something has ended: `up` repairs it.
    Broken,
    /// There is none, and nothing of one.
    Down,
    /// Nothing runs, and something is there: `down` takes it away.
    LeftBehind,
}

/// A process that was started.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartStatus {
    /// The node it is on.
    pub node: String,
    /// What it is.
    pub name: String,
    /// Its process, which may have ended.
    pub pid: u32,
    /// Whether it has not.
    pub runs: bool,
    /// Resident memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_mebibytes: Option<u64>,
    /// Where it logs.
    pub log: String,
}

/// A node, as the API has it. Those that are only objects are counted as one.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// As the API has it.
    pub name: String,
    /// Whether it takes pods.
    pub ready: bool,
    /// Of its kubelet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Where the host reaches it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
}

/// Looks at a lab.
pub(super) fn look(place: Place) -> Result<Status> {
    let parts: Vec<PartStatus> = Record::all(place)?
        .iter()
        .map(|record| PartStatus::of(place, record))
        .collect();
    let left = if parts.iter().any(|part| part.runs) {
        Vec::new()
    } else {
        left(place)?
    };
    let state = state(parts.iter().map(|part| part.runs), left.is_empty());
    let nodes = if parts
        .iter()
        .any(|part| part.name == "kube-apiserver" && part.runs)
    {
        nodes(place).unwrap_or_default()
    } else {
        Vec::new()
    };
    Ok(Status {
        state,
        kubeconfig: kubectl::kubeconfig(place),
        parts,
        nodes,
        left,
    })
}

fn state(parts: impl Iterator<Item = bool>, is_clean: bool) -> State {
    let parts: Vec<bool> = parts.collect();
    match parts.iter().filter(|runs| **runs).count() {
        0 if is_clean => State::Down,
        0 => State::LeftBehind,
        count if count == parts.len() => State::Up,
        _ => State::Broken,
    }
}

impl PartStatus {
    fn of(place: Place, record: &Record) -> Self {
        let runs = record.process.is_alive();
        let node = place.node(record.node);
        Self {
            node: node.name(),
            name: record.name.clone(),
            pid: record.process.pid(),
            runs,
            resident_mebibytes: runs.then(|| record.process.resident()).flatten(),
            log: part::log(node, &record.name).display().to_string(),
        }
    }
}

fn nodes(place: Place) -> Result<Vec<NodeStatus>> {
    let nodes = kubectl::json(place, &["get", "nodes", "--request-timeout=5s"])?;
    let nodes = nodes["items"].as_array().context("a list of nodes")?;
    Ok(summed(nodes))
}

fn summed(nodes: &[Value]) -> Vec<NodeStatus> {
    let (fake, real): (Vec<&Value>, Vec<&Value>) = nodes
        .iter()
        .partition(|node| node["metadata"]["labels"]["type"] == "fake");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<NodeStatus> = real
        .into_iter()
        .map(|node| NodeStatus {
            name: text(&node["metadata"]["name"]),
            ready: is_ready(node),
            version: text(&node["status"]["nodeInfo"]["kubeletVersion"]),
            address: text(&node["status"]["addresses"][0]["address"]),
        })
        .collect();
    if !fake.is_empty() {
        found.push(NodeStatus {
            name: format!("{} that are only objects", fake.len()),
            ready: fake.iter().all(|node| is_ready(node)),
            version: String::new(),
            address: String::new(),
        });
    }
    found
}

/// Whether a node says of itself that it takes pods.
pub(super) fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    })
}

/// All that a lab may leave on the machine, as far as it is there.
pub(super) fn left(place: Place) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for record in Record::all(place)?
        .iter()
        .filter(|it| it.process.is_alive())
    {
        left.push(format!(
            "process {} ({})",
            record.process.pid(),
            record.name
        ));
    }
    left.extend(cgroups::left(place)?);
    left.extend(
        network::links(place)
            .into_iter()
            .map(|link| format!("link {link}")),
    );
    let routes = fs::read_to_string("/proc/net/route").context("read the host's routes")?;
    left.extend(routes_of(place, &routes));
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the host's mounts")?;
    left.extend(mounts_of(place, &mounts));
    if place.folder().exists() {
        left.push(format!("folder {}", place.folder().display()));
    }
    left.extend(holder::left_mount_points(place));
    Ok(left)
}

/// proc(5), `mountinfo`: the fourth field is what is mounted of a file system, the fifth where.
fn mounts_of(place: Place, mounts: &str) -> Vec<String> {
    let folder = place.folder().display().to_string();
    let found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (what, point) = (fields.next()?, fields.next()?);
        let is_ours = [what, point].iter().any(|path| path.starts_with(&folder));
        is_ours.then(|| format!("mount {point}"))
    });
    found.collect()
}

/// By the lab's link. `/proc/net/route`: link, destination, and as the eighth field the mask, in hexadecimal and in the
/// order of bytes of the machine.
fn routes_of(place: Place, routes: &str) -> Vec<String> {
    let found = routes.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| {
            let text = fields.get(index)?;
            u32::from_str_radix(text, 16).ok().map(u32::from_be)
        };
        let (destination, mask) = (number(1)?, number(7)?);
        let first = Ipv4Addr::from_bits(destination);
        let is_ours = fields.first() == Some(&place.bridge().as_str());
        is_ours.then(|| format!("route {first}/{}", mask.count_ones()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_word_says_what_to_do() {
        let of = |parts: &[bool], is_clean| state(parts.iter().copied(), is_clean);
        assert_eq!(of(&[true, true], true), State::Up);
        assert_eq!(of(&[true, false], true), State::Broken);
        assert_eq!(of(&[], true), State::Down);
        assert_eq!(of(&[], false), State::LeftBehind);
        assert_eq!(of(&[false], false), State::LeftBehind);
    }

    #[test]
    fn a_node_is_ready_when_it_says_so() {
        let node = |status: &str| {
            json!({ "status": { "conditions": [
            { "type": "MemoryPressure", "status": "True" },
            { "type": "Ready", "status": status },
        ] } })
        };
        assert!(is_ready(&node("True")));
        assert!(!is_ready(&node("Unknown")) && !is_ready(&json!({})));
    }

    #[test]
    fn nodes_that_are_only_objects_are_one_line() {
        let fake = json!({ "metadata": { "name": "fake-1", "labels": { "type": "fake" } } });
        let real = json!({ "metadata": { "name": "n1" } });
        let found = summed(&[fake.clone(), real, fake]);
        let names: Vec<&str> = found.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["n1", "2 that are only objects"]);
    }

    #[test]
    fn mounts_of_the_lab_are_known_by_either_end() {
        let place = Place::OF_TESTS;
        let mounts = "\
60 27 254:0 /var/lib/lanyard-lab/9/n1/kubelet /var/lib/kubelet rw - ext4 /dev/vda rw
61 27 0:50 / /var/lib/lanyard-lab/9/n1/x rw - tmpfs tmpfs rw
62 27 0:51 / /var/lib/other rw - tmpfs tmpfs rw
";
        let found = mounts_of(place, mounts);
        assert_eq!(
            found,
            [
                "mount /var/lib/kubelet",
                "mount /var/lib/lanyard-lab/9/n1/x"
            ]
        );
    }

    #[test]
    fn routes_of_the_lab_are_known_by_their_link() {
        let routes = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010000C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000690A\t020912C6\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
lanyard-lab9\t0000690A\t020912C6\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0
";
        if cfg!(target_endian = "little") {
            assert_eq!(routes_of(Place::OF_TESTS, routes), ["route 10.105.0.0/16"]);
        }
    }
}

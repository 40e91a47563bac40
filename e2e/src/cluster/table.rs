//! A lab's state for a person.

use std::fmt;

use super::status::{NodeStatus, PartStatus, State, Status};

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "The lab is {}.", told(self.state))?;
        if !self.parts.is_empty() {
            writeln!(out)?;
            row(out, ["NODE", "PART", "PID", "MEMORY", "LOG"])?;
        }
        for part in &self.parts {
            show_part(out, part)?;
        }
        if !self.nodes.is_empty() {
            writeln!(out)?;
            row(out, ["NODE", "STATE", "VERSION", "ADDRESS", ""])?;
        }
        for node in &self.nodes {
            show_node(out, node)?;
        }
        for left in &self.left {
            writeln!(out, "    {left}")?;
        }
        Ok(())
    }
}

fn told(state: State) -> &'static str {
    match state {
        State::Up => "up",
        State::Broken => "broken: `up` repairs it",
        State::Down => "down",
        State::LeftBehind => "down, and something is left of it: `down` takes that away",
    }
}

fn show_part(out: &mut fmt::Formatter<'_>, part: &PartStatus) -> fmt::Result {
    let memory = match part.resident_mebibytes {
        Some(mebibytes) => format!("{mebibytes} MiB"),
        None => "ended".to_owned(),
    };
    let pid = part.pid.to_string();
    row(out, [&part.node, &part.name, &pid, &memory, &part.log])
}

fn show_node(out: &mut fmt::Formatter<'_>, node: &NodeStatus) -> fmt::Result {
    let state = if node.ready { "ready" } else { "not ready" };
    row(out, [&node.name, state, &node.version, &node.address, ""])
}

fn row(out: &mut fmt::Formatter<'_>, cells: [&str; 5]) -> fmt::Result {
    let [first, second, third, fourth, last] = cells;
    let line = format!("{first:<8} {second:<24} {third:<9} {fourth:<11} {last}");
    writeln!(out, "{}", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_seen() {
        let part = |name: &str, resident_mebibytes: Option<u64>| PartStatus {
            node: "n1".into(),
            name: name.into(),
            pid: 7,
            runs: resident_mebibytes.is_some(),
            resident_mebibytes,
            log: "/log".into(),
        };
        let status = Status {
            state: State::Broken,
            kubeconfig: "/k".into(),
            parts: vec![part("etcd", Some(40)), part("kubelet", None)],
            nodes: Vec::new(),
            left: vec!["link lanyard-lab0".into()],
        };
        let text = status.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("The lab is broken"));
        assert!(lines[3].contains("etcd") && lines[3].contains("40 MiB"));
        assert!(lines[4].contains("kubelet") && lines[4].contains("ended"));
        assert_eq!(lines[5].trim(), "link lanyard-lab0");
    }
}

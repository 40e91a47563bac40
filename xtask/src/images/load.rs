//! Giving images to the nodes of a lab.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::artifacts;
use crate::command::{quietly, stdout_of};
use crate::context::Context;

/// A lab that is up.
pub(crate) struct Lab {
    number: u8,
    nodes: Vec<u8>,
}

#[derive(Deserialize)]
struct Status {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
}

impl Lab {
    /// Asks which nodes it has.
    pub(crate) fn find(context: &Context, number: u8) -> anyhow::Result<Self> {
        quietly(&mut context.cargo(&["build", "--quiet", "--bin", "lab"]))?;
        let status = stdout_of(program(context, number).args(["status", "--output=json"]))
            .with_context(|| format!("lab {number}"))?;
        let nodes = nodes(&status)?;
        ensure!(
            !nodes.is_empty(),
            "lab {number} is not up: cargo xtask lab --number {number} up"
        );
        Ok(Self { number, nodes })
    }

    /// Imports an image into the containerd of each node.
    pub(crate) fn load(&self, context: &Context, archive: &Path) -> anyhow::Result<()> {
        for node in &self.nodes {
            let node = node.to_string();
            quietly(
                program(context, self.number)
                    .args(["ctr", "--node", &node, "images", "import"])
                    .arg(archive),
            )?;
        }
        Ok(())
    }
}

fn program(context: &Context, number: u8) -> Command {
    let mut command = Command::new(artifacts::programs(context).join("lab"));
    command.args(["--number", &number.to_string()]);
    command
}

/// The numbers of the nodes that run pods: `n1`, `n2`; others are only objects.
fn nodes(status: &str) -> anyhow::Result<Vec<u8>> {
    let status: Status = serde_json::from_str(status).context("read the lab's status")?;
    let numbers = status
        .nodes
        .iter()
        .filter_map(|node| node.name.strip_prefix('n'));
    Ok(numbers.filter_map(|number| number.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_only_objects_get_no_image() {
        let status = r#"{"state":"Up","nodes":[{"name":"n1"},{"name":"fake-0"},{"name":"n2"}]}"#;
        assert_eq!(nodes(status).unwrap(), [1, 2]);
        assert!(nodes(r#"{"nodes":[]}"#).unwrap().is_empty());
    }
}

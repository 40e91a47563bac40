//! A coding agent: it runs shells, compilers and programs that did not exist a second ago.

use anyhow::{Result, ensure};

use super::{Evidence, Stage, USER};
use crate::{
    agent,
    manifest::{DirectGrant, Identity},
    service,
};

/// What the agent does: Node.js starts a shell, which works with git, compiles a program and runs it.
const WORK: &str = r"
const { spawnSync } = require('node:child_process');
const [address, port] = process.argv.slice(2);
const script = `
set -e
git init --quiet tree && cd tree
git config user.email agent@demo.test && git config user.name Agent
cat > dial.c
git add dial.c && git commit --quiet -m 'A program that was not there a second ago'
git log --oneline | wc -l
gcc -O1 -o dial dial.c
./dial ${address} ${port} | tail -n 1
`;
const result = spawnSync('bash', ['-c', script], { input: process.env.DIAL, encoding: 'utf8' });
process.stdout.write(result.stdout);
process.stderr.write(result.stderr);
process.exit(result.status);
";

/// The whole tree under `children: Inherit`, and the same under `children: None`.
pub fn whole_tree_works(stage: &Stage) -> Result<Evidence> {
    let node = agent::node()?;
    write_identity(stage, &node, "Inherit")?;
    let grant = DirectGrant {
        name: "coder-plain",
        agent: "coder",
        requires: "Lineage",
        host: &format!("{}/32", stage.lab.address()),
        port: service::PLAIN_PORT,
        protocol: "TCP",
        duration: "1h",
    };
    stage
        .lab
        .write("manifests/coder-plain.yaml", grant.yaml())?;
    stage.lanyard.until_live("default/coder-plain")?;
    let inherited = run(stage, &node)?;
    write_identity(stage, &node, "None")?;
    stage.lanyard.until_written("default/coder", "node-none")?;
    let alone = run(stage, &node)?;
    let explained = stage.lanyard.explain_last("Lineage")?;
    let said = String::from_utf8_lossy(&inherited.stdout).into_owned();
    ensure!(
        inherited.status.success() && said.contains(service::GREETING),
        "the tree does not work: {inherited:?} {}",
        stage.lanyard.daemon_log()
    );
    let refused = String::from_utf8_lossy(&alone.stderr).into_owned();
    let reached = String::from_utf8_lossy(&alone.stdout).contains(service::GREETING);
    ensure!(
        !reached && !refused.is_empty(),
        "without Inherit the new program got through: {alone:?}"
    );
    Ok(vec![
        "node started bash, which committed with git, compiled a program and ran it".to_owned(),
        format!(
            "the new program got: {}",
            said.lines().last().unwrap_or_default()
        ),
        format!("with `children: None` it got: {}", refused.trim()),
        format!(
            "explain says: {}",
            explained.lines().next().unwrap_or_default()
        ),
    ])
}

fn write_identity(stage: &Stage, node: &std::path::Path, children: &str) -> Result<()> {
    let name = format!("node-{}", children.to_ascii_lowercase());
    let identity = Identity::named("coder").program(&name, node, children)?;
    stage.lab.write("manifests/coder.yaml", identity.yaml())?;
    Ok(())
}

fn run(stage: &Stage, node: &std::path::Path) -> Result<std::process::Output> {
    let _ = std::fs::remove_dir_all(stage.lanyard.project(Some(USER)).join("tree"));
    let work = stage.lab.write("programs/work.js", WORK)?;
    let (node, work) = (node.display().to_string(), work.display().to_string());
    let (address, port) = (stage.lab.address(), service::PLAIN_PORT.to_string());
    let command = [
        node.as_str(),
        work.as_str(),
        address.as_str(),
        port.as_str(),
    ];
    let mut command = stage.lanyard.run_as("coder", Some(USER), &command);
    Ok(command.env("DIAL", agent::DIAL).output()?)
}

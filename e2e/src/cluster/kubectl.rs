//! Speaking to a lab's API as its administrator.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    certificates::{Keys, User},
    place::Place,
    programs,
};
use crate::lab;

/// `kubectl`, told which cluster.
pub(super) fn command(place: Place) -> Command {
    let mut command = Command::new(programs::linked(place, "kubectl"));
    without_proxy(&mut command, place);
    command.env("KUBECONFIG", kubeconfig(place));
    command
}

/// `helm`, told which cluster, with its own files in the lab's folder.
pub(super) fn helm(place: Place) -> Command {
    let mut command = Command::new(programs::linked(place, "helm"));
    without_proxy(&mut command, place);
    let folder = place.folder().join("helm");
    for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(name, &folder);
    }
    command.env("KUBECONFIG", kubeconfig(place));
    command
}

/// The file that leads an administrator to a lab.
pub(super) fn kubeconfig(place: Place) -> String {
    Keys::of(place).kubeconfig(User::Admin)
}

/// What it prints.
pub(super) fn text(place: Place, arguments: &[&str]) -> Result<String> {
    let output = lab::run(command(place).args(arguments))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An object, or a list of them.
pub(super) fn json(place: Place, arguments: &[&str]) -> Result<Value> {
    let text = text(place, &[arguments, &["--output=json"]].concat())?;
    serde_json::from_str(&text).with_context(|| format!("read what kubectl {arguments:?} printed"))
}

/// Applies manifests.
pub(super) fn apply(place: Place, manifests: &str) -> Result<()> {
    let mut kubectl = command(place)
        .args(["apply", "--server-side", "--filename=-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start kubectl")?;
    let mut input = kubectl.stdin.take().context("kubectl has an input")?;
    let manifests = manifests.to_owned();
    // Beside reading what it says, so that neither waits for the other.
    let writer = std::thread::spawn(move || input.write_all(manifests.as_bytes()));
    let output = kubectl.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "kubectl apply failed: {}",
        said.trim_end()
    );
    let written = writer.join();
    written
        .is_ok_and(|written| written.is_ok())
        .then_some(())
        .context("kubectl read only a part")
}

/// A proxy of the environment does not lead to the lab.
fn without_proxy(command: &mut Command, place: Place) {
    for name in ["NO_PROXY", "no_proxy"] {
        let given = env::var_os(name).unwrap_or_default();
        command.env(name, beside_proxy(&given.to_string_lossy(), place));
    }
}

/// What is reached without a proxy: what was before, and the lab.
fn beside_proxy(given: &str, place: Place) -> String {
    let own = [place.nodes_network(), place.pods(), place.services()];
    let all = given
        .split(',')
        .map(str::to_owned)
        .chain(own.iter().map(ToString::to_string));
    all.filter(|entry| !entry.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_not_asked_for_the_lab() {
        let place = Place::OF_TESTS;
        let own = "198.18.9.0/24,10.89.0.0/16,10.105.0.0/16";
        assert_eq!(beside_proxy("", place), own);
        assert_eq!(beside_proxy("a.test", place), format!("a.test,{own}"));
    }
}

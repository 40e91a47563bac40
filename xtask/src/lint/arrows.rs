//! Who may import what: the arrows of the design, and where some crates of others must not be.

use std::collections::{BTreeMap, BTreeSet};

use super::{Subject, Verdict};
use crate::command::stdout_of;
use crate::context::Context;
use crate::metadata::{Dependency, Package, Workspace};

/// `folder <- what it may import of ours`. With a question mark: only behind a cargo feature.
/// A folder that is not listed may not be in the workspace.
const ARROWS: &str = "
    lib/access      <-
    node-agent/abi  <-
    node-agent/ebpf <- node-agent/abi
    lib/protocol    <- lib/access
    lib/daemon      <-
    crds            <- lib/access
    lib/authority   <- lib/access
    operator        <- crds lib/access lib/protocol lib/daemon
    webhook         <- crds lib/access lib/daemon
    authority       <- crds lib/access lib/authority lib/protocol lib/daemon
    node-agent      <- lib/access node-agent/abi lib/protocol lib/daemon ?crds ?lib/authority
    broker          <- lib/access lib/protocol lib/daemon node-agent/abi
    cli             <- crds lib/access lib/protocol
    e2e             <- crds lib/access lib/protocol
    fuzz            <- lib/access broker
    xtask           <-
";

/// Crates of others that only these may name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("kube", &["crds", "operator", "authority", "webhook"]),
    ("aya", &["node-agent"]),
    ("aya-obj", &["node-agent"]),
    ("aya-ebpf", &["node-agent/ebpf"]),
];

/// Crates of others that these must not even reach: the rules are pure, and the broker lives
/// beside code we do not trust. A name stands for its family: `kube` for `kube-client` too.
const NEVER_REACHES: &[(&str, &[&str])] = &[
    ("lib/access", &["tokio", "kube", "aya"]),
    ("node-agent/abi", &["tokio", "kube", "aya", "serde"]),
    ("broker", &["kube", "aya"]),
];

/// The check.
pub(crate) fn check(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut complaints = direct(&subject.workspace, &Arrows::parse(ARROWS));
    for (folder, banned) in NEVER_REACHES {
        let packages = &subject.workspace.packages;
        let Some(package) = packages
            .iter()
            .find(|package| subject.workspace.folder(package) == *folder)
        else {
            continue;
        };
        complaints.extend(reaching(
            folder,
            banned,
            &everything_below(subject.context, package)?,
        ));
    }
    Ok(Verdict::of(&complaints))
}

/// The crates that a package is built from, with its own features only.
fn everything_below(context: &Context, package: &Package) -> anyhow::Result<String> {
    let edges = [
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
    ];
    stdout_of(context.cargo(&edges).arg(&package.name))
}

/// The arrows of the table.
struct Arrows<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Arrows<'a> {
    fn parse(table: &'a str) -> Self {
        let rows = table.lines().filter_map(|line| line.split_once("<-"));
        Self(
            rows.map(|(folder, imports)| (folder.trim(), imports.split_whitespace().collect()))
                .collect(),
        )
    }

    fn allows(&self, from: &str, to: &str, optional: bool) -> bool {
        let Some(allowed) = self.0.get(from) else {
            return false;
        };
        allowed.contains(to) || optional && allowed.contains(format!("?{to}").as_str())
    }
}

fn direct(workspace: &Workspace, arrows: &Arrows<'_>) -> Vec<String> {
    let ours: BTreeMap<&str, &str> = workspace
        .packages
        .iter()
        .map(|package| (package.name.as_str(), workspace.folder(package)))
        .collect();
    let mut complaints = Vec::new();
    for package in &workspace.packages {
        let from = workspace.folder(package);
        if !arrows.0.contains_key(from) {
            complaints.push(format!(
                "{from}: not in the table of arrows (xtask/src/lint/arrows.rs)"
            ));
        }
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| is_built_in(dependency))
        {
            match ours.get(dependency.name.as_str()) {
                Some(to) if !arrows.allows(from, to, dependency.optional) => {
                    complaints.push(format!(
                        "{from} must not import {to}{}",
                        hint(arrows, from, to)
                    ));
                }
                Some(_) => {}
                None => complaints.extend(misplaced(from, &dependency.name)),
            }
        }
    }
    complaints
}

/// What only tests use does not ship.
fn is_built_in(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() != Some("dev")
}

fn hint(arrows: &Arrows<'_>, from: &str, to: &str) -> &'static str {
    if arrows.allows(from, to, true) {
        " except behind a cargo feature"
    } else {
        ""
    }
}

fn misplaced(from: &str, name: &str) -> Option<String> {
    let (_, places) = ONLY_IN.iter().find(|(only, _)| *only == name)?;
    (!places.contains(&from)).then(|| {
        format!(
            "{from} must not import {name}: only {} may",
            places.join(", ")
        )
    })
}

fn reaching(folder: &str, banned: &[&str], tree: &str) -> Vec<String> {
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    names
        .into_iter()
        .filter(|name| banned.iter().any(|family| is_of_family(name, family)))
        .map(|name| format!("{folder} must not reach {name}: see `cargo tree --edges normal,build --invert {name}`"))
        .collect()
}

fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(packages: &[(&str, &[(&str, &str)])]) -> Workspace {
        let packages: Vec<String> = packages
            .iter()
            .map(|(folder, dependencies)| {
                let dependencies: Vec<String> = dependencies
                    .iter()
                    .map(|(name, kind)| {
                        let (kind, optional) = match *kind {
                            "normal" => ("null", false),
                            "optional" => ("null", true),
                            "build" => ("\"build\"", false),
                            _ => ("\"dev\"", false),
                        };
                        format!(r#"{{"name":"{name}","kind":{kind},"optional":{optional}}}"#)
                    })
                    .collect();
                format!(
                    r#"{{"id":"{folder}","name":"{folder}","rust_version":null,"targets":[],"manifest_path":"/w/{folder}/Cargo.toml","dependencies":[{}]}}"#,
                    dependencies.join(",")
                )
            })
            .collect();
        let text = format!(
            r#"{{"packages":[{}],"workspace_root":"/w","workspace_default_members":[]}}"#,
            packages.join(",")
        );
        Workspace::parse(&text).unwrap()
    }

    fn complaints(packages: &[(&str, &[(&str, &str)])]) -> Vec<String> {
        direct(&workspace(packages), &Arrows::parse(ARROWS))
    }

    #[test]
    fn an_arrow_of_the_design_is_allowed() {
        let found = complaints(&[
            ("lib/access", &[]),
            ("crds", &[("lib/access", "normal"), ("kube", "normal")]),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_arrow_backwards_is_refused() {
        let found = complaints(&[("crds", &[]), ("lib/access", &[("crds", "build")])]);
        assert_eq!(found, ["lib/access must not import crds"]);
    }

    #[test]
    fn a_dependency_of_tests_alone_is_no_arrow() {
        assert!(complaints(&[("crds", &[]), ("lib/access", &[("crds", "dev")])]).is_empty());
    }

    #[test]
    fn some_arrows_need_a_cargo_feature() {
        assert!(complaints(&[("crds", &[]), ("node-agent", &[("crds", "optional")])]).is_empty());
        assert_eq!(
            complaints(&[("crds", &[]), ("node-agent", &[("crds", "normal")])]),
            ["node-agent must not import crds except behind a cargo feature"]
        );
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_refused() {
        assert_eq!(complaints(&[("helpers", &[])]).len(), 1);
    }

    #[test]
    fn kube_and_aya_have_their_places() {
        assert_eq!(complaints(&[("broker", &[("kube", "normal")])]).len(), 1);
        assert_eq!(complaints(&[("cli", &[("aya", "optional")])]).len(), 1);
        assert!(complaints(&[("node-agent", &[("aya", "normal")])]).is_empty());
    }

    #[test]
    fn what_is_reached_through_others_counts() {
        let tree =
            "lanyard-broker v0.1.0 (/w/broker)\nkube-client v5.0.0\ntokio v1.50.0\nkubert v0.1.0\n";
        let found = reaching("broker", &["kube", "aya"], tree);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("broker must not reach kube-client"));
    }
}

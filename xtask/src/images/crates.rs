//! The crates that are in a program: what `cargo tree` says is linked into it, and where Cargo.lock has it from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, ensure};

use crate::command::stdout_of;
use crate::context::Context;

/// A crate in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) licence: String,
    /// SHA-256 of the registry's file; none for crates of this workspace.
    pub(crate) checksum: Option<String>,
    pub(crate) dependencies: BTreeSet<CrateName>,
}

/// Name and version, which are together unique in a Cargo.lock of one registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CrateName {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// The crates of a program, by name; the program's own is one of them.
pub(crate) type Crates = BTreeMap<CrateName, Crate>;

/// Asks cargo. Build scripts and macros are in no program, and not listed.
pub(crate) fn of(
    context: &Context,
    package: &str,
    has_default_features: bool,
) -> anyhow::Result<Crates> {
    let mut command = context.cargo(&[
        "tree",
        "--locked",
        "--edges=normal,no-proc-macro",
        "--prefix=depth",
        "--format=|{p}|{l}",
        "--package",
        package,
    ]);
    if !has_default_features {
        command.arg("--no-default-features");
    }
    let tree = stdout_of(&mut command)?;
    let path = context.root.join("Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let checksums = checksums(&lock);
    let mut crates = crates(&tree)?;
    for (name, found) in &mut crates {
        found.checksum = checksums.get(name).cloned();
    }
    Ok(crates)
}

/// Reads lines of `depth|name vVERSION ...|licence`, each below the nearest line above it that is less deep.
fn crates(tree: &str) -> anyhow::Result<Crates> {
    let mut crates = Crates::new();
    let mut above: Vec<CrateName> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (depth, name, licence) = read(line).with_context(|| format!("read {line:?}"))?;
        ensure!(depth <= above.len(), "{line:?} is below nothing");
        above.truncate(depth);
        if let Some(dependency_of) = above.last().and_then(|parent| crates.get_mut(parent)) {
            dependency_of.dependencies.insert(name.clone());
        }
        crates.entry(name.clone()).or_default().licence = licence;
        above.push(name);
    }
    ensure!(!crates.is_empty(), "cargo tree listed nothing");
    Ok(crates)
}

fn read(line: &str) -> Option<(usize, CrateName, String)> {
    let (depth, rest) = line.split_once('|')?;
    let (package, licence) = rest.split_once('|')?;
    let mut words = package.split(' ');
    let name = words.next()?.to_owned();
    let version = words.next()?.strip_prefix('v')?.to_owned();
    // A crate that was listed above is marked so.
    let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
    Some((depth.parse().ok()?, CrateName { name, version }, licence))
}

/// The checksums in a Cargo.lock, which cargo writes: one `key = "value"` a line.
fn checksums(lock: &str) -> BTreeMap<CrateName, String> {
    let value = |block: &str, key: &str| {
        let mut lines = block.lines();
        let line = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))?;
        Some(line.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|block| {
            let name = value(block, "name")?;
            let version = value(block, "version")?;
            Some((CrateName { name, version }, value(block, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> CrateName {
        CrateName {
            name: name.into(),
            version: "1.0.0".into(),
        }
    }

    #[test]
    fn a_tree_says_what_depends_on_what() {
        let tree = "0|a v1.0.0 (/w/a)|MIT\n1|b v1.0.0|MIT/Apache-2.0\n2|c v1.0.0|ISC\n1|c v1.0.0|ISC (*)\n";
        let crates = crates(tree).unwrap();
        assert_eq!(crates.len(), 3);
        assert_eq!(
            crates[&name("a")].dependencies,
            BTreeSet::from([name("b"), name("c")])
        );
        assert_eq!(crates[&name("b")].dependencies, BTreeSet::from([name("c")]));
        assert_eq!(crates[&name("b")].licence, "MIT OR Apache-2.0");
        assert_eq!(crates[&name("c")].licence, "ISC");
    }

    #[test]
    fn a_tree_that_is_none_is_an_error() {
        assert!(crates("").is_err());
        assert!(crates("a v1.0.0").is_err());
        assert!(crates("3|a v1.0.0|MIT").is_err());
    }

    #[test]
    fn checksums_are_found_where_there_are_any() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nsource = \"r\"\nchecksum = \"ff\"\n";
        let checksums = checksums(lock);
        assert_eq!(checksums.get(&name("b")).map(String::as_str), Some("ff"));
        assert_eq!(checksums.get(&name("a")), None);
    }
}

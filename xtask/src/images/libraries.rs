//! The shared libraries that a program needs, as this machine's loader finds them, and the Debian packages they are of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::command::{capture, stdout_of};

/// A library as an image has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Library {
    /// Where the loader looks for it.
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) package: DebianPackage,
}

/// A package of Debian, installed on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DebianPackage {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// The source package that it was built from.
    pub(crate) source: String,
}

/// The libraries of a program, its loader among them.
pub(crate) fn of(program: &Path) -> anyhow::Result<Vec<Library>> {
    // It ends with status 1 for a program that needs none.
    let answer = capture(Command::new("ldd").arg(program).env("LC_ALL", "C"))?;
    let paths =
        paths(&answer.text).with_context(|| format!("libraries of {}", program.display()))?;
    paths.into_iter().map(library).collect()
}

fn library(path: String) -> anyhow::Result<Library> {
    let real = fs::canonicalize(&path).with_context(|| format!("find {path}"))?;
    Ok(Library {
        content: fs::read(&real).with_context(|| format!("read {}", real.display()))?,
        package: package_with(&real)?,
        path,
    })
}

/// What `ldd` answered: `name => /path (address)`, or `/path (address)` for the loader.
fn paths(answer: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut paths = BTreeSet::new();
    for line in answer
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        if matches!(line, "statically linked" | "not a dynamic executable") {
            continue;
        }
        // From the kernel, in every process.
        if line.starts_with("linux-vdso") {
            continue;
        }
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        let place = place.rsplit_once(" (").map_or(place, |(place, _)| place);
        ensure!(place.starts_with('/'), "{name}: {place}");
        paths.insert(place.to_owned());
    }
    Ok(paths)
}

/// The package that a file is of.
fn package_with(file: &Path) -> anyhow::Result<DebianPackage> {
    // A package from before `/lib` was a link to `/usr/lib` has its files by the old name.
    let merged = file.strip_prefix("/usr").ok();
    let older = merged.map(|rest| Path::new("/").join(rest));
    let places: Vec<PathBuf> = [Some(file.to_owned()), older]
        .into_iter()
        .flatten()
        .collect();
    for place in &places {
        let answer = capture(Command::new("dpkg-query").arg("--search").arg(place))?;
        if let (true, Some((name, _))) = (answer.status.success(), answer.text.split_once(": ")) {
            return DebianPackage::installed(name);
        }
    }
    bail!(
        "{} is of no Debian package: images are built from Debian's libraries alone",
        file.display()
    )
}

impl DebianPackage {
    /// A package by its name, with its architecture where it may have several: `libc6:amd64`.
    pub(crate) fn installed(name: &str) -> anyhow::Result<Self> {
        let format = "${Package}\t${Version}\t${Architecture}\t${source:Package}\n";
        let format = format!("--showformat={format}");
        let answer = stdout_of(Command::new("dpkg-query").args(["--show", &format, name]))?;
        Self::parse(&answer).with_context(|| format!("read what dpkg says of {name}"))
    }

    fn parse(answer: &str) -> anyhow::Result<Self> {
        let line = answer.lines().next().unwrap_or_default();
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, version, architecture, source] = fields.as_slice() else {
            bail!("{line:?}");
        };
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
            source: source.to_owned(),
        })
    }
}

/// The certificates of Mozilla's programme, as the package has them; never the machine's own file, in which its
/// administrator may have put others.
pub(crate) fn certificates() -> anyhow::Result<(Vec<u8>, DebianPackage)> {
    const FOLDER: &str = "/usr/share/ca-certificates/mozilla";
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(FOLDER).with_context(|| format!("read {FOLDER}"))? {
        let path = entry?.path();
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        files.insert(path, content);
    }
    ensure!(!files.is_empty(), "{FOLDER} is empty");
    let mut bundle = Vec::new();
    for content in files.values() {
        bundle.extend_from_slice(content.trim_ascii_end());
        bundle.push(b'\n');
    }
    Ok((bundle, DebianPackage::installed("ca-certificates")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_and_what_it_finds_are_taken() {
        let answer = "\tlinux-vdso.so.1 (0x00007f95)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f97)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f98)\n";
        let paths = paths(answer).unwrap();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }

    #[test]
    fn a_library_that_is_not_found_is_an_error() {
        assert!(paths("\tlibodd.so.1 => not found\n").is_err());
    }

    #[test]
    fn a_static_program_needs_nothing() {
        assert!(paths("\tstatically linked\n").unwrap().is_empty());
    }

    #[test]
    fn a_package_is_read_from_what_dpkg_says() {
        let package = DebianPackage::parse("libc6\t2.36-9\tamd64\tglibc\n").unwrap();
        assert_eq!(
            (package.name.as_str(), package.source.as_str()),
            ("libc6", "glibc")
        );
        assert!(DebianPackage::parse("libc6").is_err());
    }
}

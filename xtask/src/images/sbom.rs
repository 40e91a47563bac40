//! What is in an image, as `CycloneDX` 1.6 writes it: the crates linked into the program, Rust's own library, and the
//! Debian packages of the files beside it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::crates::{Crate, CrateName, Crates};
use super::layout::architecture;
use super::libraries::DebianPackage;

/// What was put into an image.
pub(crate) struct Contents<'a> {
    /// `lanyard/broker`.
    pub(crate) image: &'a str,
    pub(crate) version: &'a str,
    /// Of its manifest.
    pub(crate) digest: &'a str,
    /// RFC 3339.
    pub(crate) created: &'a str,
    /// What `rustc --version` says: its library is in every program.
    pub(crate) compiler: &'a str,
    pub(crate) crates: &'a Crates,
    pub(crate) packages: &'a BTreeSet<DebianPackage>,
}

impl Contents<'_> {
    /// The document. The same contents give the same one.
    pub(crate) fn document(&self) -> Value {
        let crates = self.crates.iter().map(|(name, found)| library(name, found));
        let packages = self.packages.iter().map(package);
        let components: Vec<Value> = [self.standard_library()]
            .into_iter()
            .chain(crates)
            .chain(packages)
            .collect();
        let edges = self.crates.iter().map(|(name, found)| {
            let below: Vec<String> = found.dependencies.iter().map(crate_url).collect();
            json!({ "ref": crate_url(name), "dependsOn": below })
        });
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": {
                "timestamp": self.created,
                "component": {
                    "type": "container",
                    "bom-ref": self.image,
                    "name": self.image,
                    "version": self.version,
                    "hashes": [sha256(self.digest.trim_start_matches("sha256:"))],
                },
            },
            "components": components,
            "dependencies": edges.collect::<Vec<_>>(),
        })
    }

    fn standard_library(&self) -> Value {
        let version = self.compiler.split(' ').nth(1).unwrap_or(self.compiler);
        json!({
            "type": "library",
            "bom-ref": "rust-std",
            "name": "rust-std",
            "version": version,
            "description": self.compiler,
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        })
    }
}

fn library(name: &CrateName, found: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": crate_url(name),
        "name": name.name,
        "version": name.version,
    });
    if !found.licence.is_empty() {
        component["licenses"] = json!([{ "expression": found.licence }]);
    }
    // A crate of this workspace is in no registry.
    if let Some(checksum) = &found.checksum {
        component["purl"] = json!(crate_url(name));
        component["hashes"] = json!([sha256(checksum)]);
    }
    component
}

fn package(package: &DebianPackage) -> Value {
    let DebianPackage {
        name,
        version,
        architecture: built_for,
        source,
    } = package;
    let url = format!(
        "pkg:deb/debian/{name}@{}?arch={built_for}",
        version.replace('+', "%2B")
    );
    json!({
        "type": "library",
        "bom-ref": url,
        "purl": url,
        "name": name,
        "version": version,
        "properties": [
            { "name": "lanyard:debian:source", "value": source },
            { "name": "lanyard:image:architecture", "value": architecture() },
        ],
    })
}

fn crate_url(name: &CrateName) -> String {
    let version = name.version.replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", name.name)
}

fn sha256(hex: &str) -> Value {
    json!({ "alg": "SHA-256", "content": hex })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> CrateName {
        CrateName {
            name: name.into(),
            version: "1.0.0+x".into(),
        }
    }

    fn document() -> Value {
        let ours = Crate {
            licence: "Apache-2.0".into(),
            checksum: None,
            dependencies: BTreeSet::from([name("b")]),
        };
        let other = Crate {
            licence: "MIT".into(),
            checksum: Some("ff".into()),
            dependencies: BTreeSet::new(),
        };
        let libc = DebianPackage {
            name: "libc6".into(),
            version: "2.36-9+deb12u1".into(),
            architecture: "amd64".into(),
            source: "glibc".into(),
        };
        Contents {
            image: "lanyard/a",
            version: "1",
            digest: "sha256:00",
            created: "1970-01-01T00:00:00Z",
            compiler: "rustc 1.95.0 (59807616e 2026-04-14)",
            crates: &Crates::from([(name("a"), ours), (name("b"), other)]),
            packages: &BTreeSet::from([libc]),
        }
        .document()
    }

    #[test]
    fn all_that_is_in_the_image_is_listed() {
        let document = document();
        let components = document["components"].as_array().unwrap();
        let names: Vec<&str> = components
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["rust-std", "a", "b", "libc6"]);
        assert_eq!(components[0]["version"], "1.95.0");
        assert_eq!(components[2]["hashes"][0]["content"], "ff");
        assert_eq!(
            components[3]["purl"],
            "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64"
        );
    }

    #[test]
    fn what_is_in_no_registry_has_no_address_there() {
        assert_eq!(document()["components"][1]["purl"], Value::Null);
    }

    #[test]
    fn every_edge_leads_to_a_component() {
        let document = document();
        let known: BTreeSet<&str> = document["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["bom-ref"].as_str().unwrap())
            .collect();
        for edge in document["dependencies"].as_array().unwrap() {
            let below = edge["dependsOn"].as_array().unwrap();
            for end in below.iter().chain([&edge["ref"]]) {
                assert!(known.contains(end.as_str().unwrap()), "{end}");
            }
        }
    }
}

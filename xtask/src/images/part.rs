//! The parts of Lanyard that have an image, and which of them this workspace has.

use anyhow::bail;

use crate::metadata::{Package, Workspace};

/// A part, as it is known before anyone looks whether it is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Of the image `lanyard/NAME`, and the folder of its crate.
    pub(crate) name: &'static str,
    /// Below `/usr/bin`, and the target of its crate.
    pub(crate) program: &'static str,
    pub(crate) description: &'static str,
    pub(crate) user: User,
    /// Whether it carries the kernel programs.
    pub(crate) has_kernel_programs: bool,
    /// Whether it is built with the default features of its crate.
    pub(crate) has_default_features: bool,
    /// Parts whose programs its image has beside its own.
    pub(crate) carries: &'static [&'static str],
}

/// Whom a container runs as when its pod says nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// 65532, who owns nothing.
    Nobody,
    Root,
}

/// All that there can be.
pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "operator",
        program: "lanyard-operator",
        description: "Reads identities and grants, and tells the nodes",
        user: User::Nobody,
        has_kernel_programs: false,
        has_default_features: true,
        carries: &[],
    },
    Part {
        name: "authority",
        program: "lanyard-authority",
        description: "Signs identities and obtains credentials",
        user: User::Nobody,
        has_kernel_programs: false,
        has_default_features: true,
        carries: &[],
    },
    Part {
        name: "webhook",
        program: "lanyard-webhook",
        description: "Puts the broker beside pods, and guards who may grant what",
        user: User::Nobody,
        has_kernel_programs: false,
        has_default_features: true,
        carries: &[],
    },
    Part {
        name: "node-agent",
        program: "lanyard-node-agent",
        description: "Attests the processes of a node and holds the kernel's rules",
        user: User::Root,
        has_kernel_programs: true,
        // Without what only a machine without a cluster needs: it obtains no credential by itself.
        has_default_features: false,
        // The broker, for whatever else a pod runs as such is refused; and what people ask the node agent with.
        carries: &["broker", "cli"],
    },
    Part {
        name: "broker",
        program: "lanyard-broker",
        description: "Carries what a pod is granted: names, TLS, requests, credentials",
        user: User::Nobody,
        has_kernel_programs: false,
        has_default_features: true,
        carries: &[],
    },
    Part {
        name: "cli",
        program: "lanyard",
        description: "The command that people type",
        user: User::Nobody,
        has_kernel_programs: false,
        has_default_features: true,
        carries: &[],
    },
];

/// A part with the crate it is built from.
#[derive(Debug)]
pub(crate) struct Present<'a> {
    pub(crate) part: &'static Part,
    pub(crate) package: &'a Package,
}

/// What a workspace has of the wanted parts, and what it has not.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) present: Vec<Present<'a>>,
    pub(crate) absent: Vec<&'static Part>,
}

/// Looks for parts by name; for all of them without any. One that is asked for by name and is not there is an error.
pub(crate) fn find<'a>(workspace: &'a Workspace, names: &[String]) -> anyhow::Result<Found<'a>> {
    for name in names {
        if !PARTS.iter().any(|part| part.name == name) {
            let all: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            bail!("there is no part {name:?}: they are {}", all.join(", "));
        }
    }
    let mut found = Found {
        present: Vec::new(),
        absent: Vec::new(),
    };
    for part in PARTS {
        if !names.is_empty() && !names.iter().any(|name| name == part.name) {
            continue;
        }
        match package_of(workspace, part)? {
            Some(package) => found.present.push(Present { part, package }),
            None if names.is_empty() => found.absent.push(part),
            None => bail!(
                "{}: this workspace has no crate in the folder {0}",
                part.name
            ),
        }
    }
    Ok(found)
}

fn package_of<'a>(workspace: &'a Workspace, part: &Part) -> anyhow::Result<Option<&'a Package>> {
    let mut packages = workspace.packages.iter();
    let Some(package) = packages.find(|package| workspace.folder(package) == part.name) else {
        return Ok(None);
    };
    let mut targets = package.targets.iter();
    if !targets.any(|target| target.is("bin") && target.name == part.program) {
        bail!("the crate {} has no program {}", package.name, part.program);
    }
    Ok(Some(package))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(folder: &str, program: &str) -> Workspace {
        let text = format!(
            r#"{{"packages":[{{"id":"x","name":"x","version":"1.2.3","rust_version":null,"dependencies":[],
               "targets":[{{"name":"{program}","kind":["bin"],"src_path":"/w/x.rs"}}],
               "manifest_path":"/w/{folder}/Cargo.toml"}}],"workspace_root":"/w","workspace_default_members":[]}}"#
        );
        Workspace::parse(&text).unwrap()
    }

    #[test]
    fn what_is_not_in_the_workspace_is_said_to_be_absent() {
        let workspace = workspace("broker", "lanyard-broker");
        let found = find(&workspace, &[]).unwrap();
        let present: Vec<&str> = found.present.iter().map(|one| one.part.name).collect();
        assert_eq!(present, ["broker"]);
        assert_eq!(found.absent.len(), PARTS.len() - 1);
    }

    #[test]
    fn an_absent_part_is_an_error_for_whoever_names_it() {
        let workspace = workspace("broker", "lanyard-broker");
        assert!(find(&workspace, &["broker".into()]).is_ok());
        assert!(find(&workspace, &["operator".into()]).is_err());
        assert!(find(&workspace, &["brokers".into()]).is_err());
    }

    #[test]
    fn a_crate_without_the_program_is_an_error() {
        assert!(find(&workspace("broker", "other"), &[]).is_err());
    }
}

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
    /// The part whose program is beside its own, to be compared with what pods run.
    pub(crate) beside: Option<&'static str>,
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
        beside: None,
    },
    Part {
        name: "authority",
        program: "lanyard-authority",
        description: "Signs identities and obtains credentials",
        user: User::Nobody,
        has_kernel_programs: false,
        beside: None,
    },
    Part {
        name: "webhook",
        program: "lanyard-webhook",
        description: "Puts the broker beside pods, and guards who may grant what",
        user: User::Nobody,
        has_kernel_programs: false,
        beside: None,
    },
    Part {
        name: "node-agent",
        program: "lanyard-node-agent",
        description: "Attests the processes of a node and holds the kernel's rules",
        user: User::Root,
        has_kernel_programs: true,
        beside: Some("broker"),
    },
    Part {
        name: "broker",
        program: "lanyard-broker",
        description: "Carries what a pod is granted: names, TLS, requests, credentials",
        user: User::Nobody,
        has_kernel_programs: false,
        beside: None,
    },
    Part {
        name: "cli",
        program: "lanyard",
        description: "The command that people type",
        user: User::Nobody,
        has_kernel_programs: false,
        beside: None,
    },
];

/// A part with the crate it is built from.
#[derive(Debug)]
pub(crate) struct Present<'a> {
    pub(crate) part: &'static Part,
    pub(crate) package: &'a Package,
    pub(crate) beside: Option<Box<Present<'a>>>,
}

impl Present<'_> {
    /// The parts whose programs its image has, its own first.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |present| present.beside.as_deref())
    }
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
        match present(workspace, part)? {
            Some(present) => found.present.push(present),
            None if names.is_empty() => found.absent.push(part),
            None => bail!(
                "{}: this workspace has no crate in the folder {0}",
                part.name
            ),
        }
    }
    Ok(found)
}

fn present<'a>(
    workspace: &'a Workspace,
    part: &'static Part,
) -> anyhow::Result<Option<Present<'a>>> {
    let Some(package) = package_of(workspace, part)? else {
        return Ok(None);
    };
    let beside = match part.beside {
        None => None,
        Some(name) => {
            let other = PARTS.iter().find(|other| other.name == name);
            let other = other.map(|other| present(workspace, other)).transpose()?;
            let Some(other) = other.flatten() else {
                bail!(
                    "{} has {name} beside it, which is not in this workspace",
                    part.name
                );
            };
            Some(Box::new(other))
        }
    };
    Ok(Some(Present {
        part,
        package,
        beside,
    }))
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

    fn package(folder: &str, program: &str) -> String {
        format!(
            r#"{{"id":"{folder}","name":"{folder}","version":"1.2.3","rust_version":null,"dependencies":[],
               "targets":[{{"name":"{program}","kind":["bin"],"src_path":"/w/x.rs"}}],
               "manifest_path":"/w/{folder}/Cargo.toml"}}"#
        )
    }

    fn workspace(folder: &str, program: &str) -> Workspace {
        let package = package(folder, program);
        let text = format!(
            r#"{{"packages":[{package}],"workspace_root":"/w","workspace_default_members":[]}}"#
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
    fn what_is_compared_with_is_there_too() {
        assert!(find(&workspace("node-agent", "lanyard-node-agent"), &[]).is_err());
        let text = format!(
            r#"{{"packages":[{},{}],"workspace_root":"/w","workspace_default_members":[]}}"#,
            package("broker", "lanyard-broker"),
            package("node-agent", "lanyard-node-agent")
        );
        let workspace = Workspace::parse(&text).unwrap();
        let found = find(&workspace, &["node-agent".into()]).unwrap();
        let programs: Vec<&str> = found.present[0]
            .programs()
            .map(|present| present.part.program)
            .collect();
        assert_eq!(programs, ["lanyard-node-agent", "lanyard-broker"]);
    }

    #[test]
    fn a_crate_without_the_program_is_an_error() {
        assert!(find(&workspace("broker", "other"), &[]).is_err());
    }
}

//! Which rules the Landlock domain has.

use std::path::{Path, PathBuf};

use super::{
    surroundings::{CONFIGURATION, Estate, Surroundings},
    toolchain,
};

/// Where programs of a system are, and what they read.
pub(crate) const SYSTEM: [&str; 9] = [
    "/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/snap",
];

/// What else programs read. Memory of others in `/proc` is refused by the domain itself.
const READ: [&str; 4] = ["/proc", "/sys", "/run/current-system", "/run/opengl-driver"];

/// Devices that give nothing of the machine away. `/dev/shm` is shared with what runs outside, and
/// only for who allows it.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// What may be done with a file, or with all below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// See what a folder holds, and nothing of it.
    List,
    Read,
    Execute,
    /// Read, write and control.
    Device,
    /// Everything but making devices.
    Own,
}

/// Whether links in a path are followed when its rule is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    /// The path was resolved before; a link in it has come since, and is a trap.
    Refuse,
}

/// One rule of the domain. A path that is not there has no rule, unless it is the project's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) path: PathBuf,
    pub(crate) rights: Rights,
    pub(crate) links: Links,
}

impl Rule {
    fn known(path: impl Into<PathBuf>, rights: Rights) -> Self {
        Self {
            path: path.into(),
            rights,
            links: Links::Follow,
        }
    }

    fn resolved(path: impl Into<PathBuf>, rights: Rights) -> Self {
        Self {
            path: path.into(),
            rights,
            links: Links::Refuse,
        }
    }
}

/// All rules; what no rule names is closed.
pub(crate) fn rules(surroundings: &Surroundings) -> Vec<Rule> {
    let mut rules = system(surroundings);
    rules.extend(surroundings.estates.iter().flat_map(readable));
    rules.extend(of_caller(surroundings));
    rules
}

fn system(surroundings: &Surroundings) -> Vec<Rule> {
    // Where its entries are told apart, the folder itself is only listed.
    let configuration = Path::new(CONFIGURATION);
    let mut estates = surroundings.estates.iter();
    let is_told_apart = estates.any(|estate| estate.folder == configuration);
    let execute = SYSTEM.iter().map(|path| {
        let only_listed = is_told_apart && Path::new(path) == configuration;
        Rule::known(
            path,
            if only_listed {
                Rights::List
            } else {
                Rights::Execute
            },
        )
    });
    let read = READ.iter().map(|path| Rule::known(path, Rights::Read));
    let devices = DEVICES.iter().map(|path| Rule::known(path, Rights::Device));
    execute
        .chain(read)
        .chain([Rule::known("/dev", Rights::List)])
        .chain(devices)
        .collect()
}

/// What of a home folder, or of a toolchain elsewhere, is read and executed.
fn readable(estate: &Estate) -> impl Iterator<Item = Rule> {
    let open = estate
        .entries
        .iter()
        .filter(|entry| !entry.is_link && !entry.is_withheld);
    open.map(|entry| Rule::resolved(estate.folder.join(&entry.relative), Rights::Execute))
}

fn of_caller(surroundings: &Surroundings) -> Vec<Rule> {
    let Surroundings {
        project,
        homes,
        estates: _,
        allowed,
        on_path,
        caller,
        program,
        linked,
        trust,
        node_folder,
        terminals,
    } = surroundings;
    let toolchains = toolchain::folders(on_path, homes, *caller);
    let all = [
        (toolchains.as_slice(), Rights::Execute),
        (program, Rights::Execute),
        (linked, Rights::Read),
        (trust, Rights::Read),
        (std::slice::from_ref(node_folder), Rights::Read),
        (terminals, Rights::Device),
        (std::slice::from_ref(project), Rights::Own),
        (allowed, Rights::Own),
    ];
    all.into_iter()
        .flat_map(|(paths, rights)| paths.iter().map(move |path| (path, rights)))
        .filter(|(path, rights)| !is_covered(path, *rights))
        .map(|(path, rights)| Rule::resolved(path, rights))
        .collect()
}

/// Whether a rule of the system gives this already; that of `/etc` may give less.
fn is_covered(path: &Path, rights: Rights) -> bool {
    let mut whole = SYSTEM.iter().filter(|folder| **folder != CONFIGURATION);
    rights <= Rights::Execute && whole.any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{surroundings::Entry, withheld},
        *,
    };

    fn entry(relative: &str) -> Entry {
        Entry {
            relative: relative.into(),
            is_link: false,
            is_withheld: withheld::is_withheld(Path::new(relative)),
        }
    }

    fn surroundings() -> Surroundings {
        Surroundings {
            project: "/home/ann/work/p".into(),
            homes: vec!["/home/ann".into()],
            estates: vec![Estate {
                folder: "/home/ann".into(),
                entries: vec![
                    entry("work"),
                    entry(".bashrc"),
                    entry(".ssh"),
                    entry(".config/gh"),
                    entry(".config/nvim"),
                    Entry {
                        is_link: true,
                        ..entry("keys")
                    },
                    Entry {
                        is_withheld: true,
                        ..entry(".npmrc")
                    },
                ],
            }],
            allowed: vec!["/dev/shm".into()],
            program: vec!["/usr/bin/env".into(), "/srv/tool".into()],
            node_folder: "/run/lanyard/local".into(),
            trust: vec!["/run/lanyard/local/1.pem".into()],
            ..Surroundings::default()
        }
    }

    fn with(rights: Rights, rules: &[Rule]) -> Vec<&str> {
        let found = rules.iter().filter(|rule| rule.rights == rights);
        found.map(|rule| rule.path.to_str().unwrap()).collect()
    }

    #[test]
    fn only_the_project_and_allowed_paths_are_written() {
        let rules = rules(&surroundings());
        assert_eq!(with(Rights::Own, &rules), ["/home/ann/work/p", "/dev/shm"]);
        assert_eq!(with(Rights::Device, &rules), DEVICES);
        let written = rules
            .iter()
            .filter(|rule| rule.rights >= Rights::Device && rule.path.starts_with("/proc"));
        assert_eq!(written.count(), 0);
    }

    #[test]
    fn of_a_home_folder_what_is_not_withheld_is_read() {
        let rules = rules(&surroundings());
        let mut found = with(Rights::Execute, &rules);
        found.retain(|path| path.starts_with("/home"));
        assert_eq!(found, ["/home/ann/work", "/home/ann/.config/nvim"]);
        let trap = rules.iter().find(|rule| rule.path.starts_with("/home"));
        assert_eq!(trap.unwrap().links, Links::Refuse);
    }

    #[test]
    fn for_root_the_machines_configuration_is_told_apart() {
        let mut root = surroundings();
        assert!(with(Rights::Execute, &rules(&root)).contains(&"/etc"));
        root.estates.push(Estate {
            folder: CONFIGURATION.into(),
            entries: vec![
                entry("passwd"),
                Entry {
                    is_withheld: true,
                    ..entry("shadow")
                },
            ],
        });
        let rules = rules(&root);
        let execute = with(Rights::Execute, &rules);
        assert!(execute.contains(&"/etc/passwd"));
        assert!(!execute.contains(&"/etc/shadow") && !execute.contains(&"/etc"));
        assert!(with(Rights::List, &rules).contains(&"/etc"));
    }

    #[test]
    fn devices_are_listed_and_not_read() {
        let rules = rules(&surroundings());
        let device = rules.iter().find(|rule| rule.path == Path::new("/dev"));
        assert_eq!(device.unwrap().rights, Rights::List);
    }

    #[test]
    fn the_program_and_the_node_agents_folder_are_in_reach() {
        let rules = rules(&surroundings());
        let execute = with(Rights::Execute, &rules);
        assert!(execute.contains(&"/srv/tool"));
        assert!(
            !execute.contains(&"/usr/bin/env"),
            "a folder of the system has it"
        );
        for path in ["/run/lanyard/local", "/run/lanyard/local/1.pem"] {
            assert!(with(Rights::Read, &rules).contains(&path));
        }
    }
}

//! What the confinement depends on, gathered once: folders of the caller, toolchains, links.

use std::{
    env, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use lanyard_protocol::control::Admitted;
use thiserror::Error;

use super::{
    Asked,
    project::FolderError,
    toolchain::{self, OnPath},
    withheld,
};
use crate::args::Environment;

/// Configuration files are read to this length when a secret is looked for.
const CONFIGURATION_MAX: u64 = 1 << 20;

/// The machine's configuration.
pub(crate) const CONFIGURATION: &str = "/etc";

/// Files of the system that are often links to somewhere else.
const LINKED: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/machine-id",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Why the surroundings are not known.
#[derive(Debug, Error)]
pub(crate) enum SurroundingsError {
    #[error("the current folder cannot be found: {0}")]
    Project(io::Error),
    #[error("the path {path} of --allow-path cannot be resolved: {source}", path = .path.display())]
    Allowed { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// A folder whose entries are told apart.
#[derive(Debug, Clone)]
pub(crate) struct Estate {
    pub(crate) folder: PathBuf,
    pub(crate) entries: Vec<Entry>,
}

/// An entry of an estate, at the depth at which it is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// From the estate's folder.
    pub(crate) relative: PathBuf,
    /// A link is not followed: it may lead to what is withheld.
    pub(crate) is_link: bool,
    pub(crate) is_withheld: bool,
}

/// All paths are absolute, with links resolved.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The current folder.
    pub(crate) project: PathBuf,
    /// The caller's home folders: of the variable, and of the user database.
    pub(crate) homes: Vec<PathBuf>,
    /// The home folders that the caller owns, toolchains elsewhere, and `/etc` for root.
    pub(crate) estates: Vec<Estate>,
    /// What may be written beside the project.
    pub(crate) allowed: Vec<PathBuf>,
    pub(crate) on_path: Vec<OnPath>,
    pub(crate) caller: u32,
    /// What is executed first.
    pub(crate) program: Vec<PathBuf>,
    /// Where files of the system lead that are links.
    pub(crate) linked: Vec<PathBuf>,
    /// Files that variables of the node agent name: the trust bundle.
    pub(crate) trust: Vec<PathBuf>,
    /// Where the node agent answers.
    pub(crate) node_folder: PathBuf,
    /// Terminals of this process, which need not be pseudo-terminals.
    pub(crate) terminals: Vec<PathBuf>,
}

impl Surroundings {
    /// Gathers all of it.
    pub(crate) fn gather(
        admitted: &Admitted,
        asked: &Asked<'_>,
    ) -> Result<Self, SurroundingsError> {
        let caller = rustix::process::getuid().as_raw();
        let environment = asked.environment;
        let homes = homes(environment, caller);
        let on_path: Vec<_> = environment
            .folders("PATH")
            .iter()
            .filter_map(|folder| OnPath::look(folder))
            .collect();
        Ok(Self {
            project: env::current_dir()
                .and_then(|folder| folder.canonicalize())
                .map_err(SurroundingsError::Project)?,
            estates: estates(&homes, environment, caller),
            homes,
            allowed: allowed(asked.allowed_paths, &admitted.allowed_paths)?,
            on_path,
            caller,
            program: asked.program.files.clone(),
            linked: LINKED
                .iter()
                .filter_map(|path| fs::canonicalize(path).ok())
                .collect(),
            trust: admitted
                .variables
                .iter()
                .map(|variable| Path::new(&variable.value))
                .filter(|path| path.is_absolute())
                .filter_map(|path| path.canonicalize().ok())
                .collect(),
            node_folder: asked
                .node_folder
                .canonicalize()
                .unwrap_or_else(|_| asked.node_folder.to_owned()),
            terminals: terminals(),
        })
    }
}

fn homes(environment: &Environment, caller: u32) -> Vec<PathBuf> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut homes: Vec<_> = [environment.folder("HOME"), home_of(&users, caller)]
        .into_iter()
        .flatten()
        .filter_map(|home| home.canonicalize().ok())
        .collect();
    homes.sort();
    homes.dedup();
    homes
}

/// The home folder of a user in the text of `/etc/passwd`.
fn home_of(users: &str, user: u32) -> Option<PathBuf> {
    let line = users
        .lines()
        .find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(user))?;
    let home = Path::new(line.split(':').nth(5)?);
    home.is_absolute().then(|| home.to_owned())
}

/// A path of the caller must exist; one of the policy is for many, and may be missing here.
fn allowed(of_caller: &[PathBuf], of_policy: &[String]) -> Result<Vec<PathBuf>, SurroundingsError> {
    let of_caller = of_caller.iter().map(|path| {
        path.canonicalize().map_err(|source| {
            let path = path.clone();
            if source.kind() == io::ErrorKind::NotFound {
                FolderError::Absent { path }.into()
            } else {
                SurroundingsError::Allowed { path, source }
            }
        })
    });
    let of_policy = of_policy
        .iter()
        .map(Path::new)
        .filter(|path| path.is_absolute())
        .filter_map(|path| path.canonicalize().ok())
        .map(Ok);
    of_caller.chain(of_policy).collect()
}

fn estates(homes: &[PathBuf], environment: &Environment, caller: u32) -> Vec<Estate> {
    let is_owned = |path: &Path, owners: &[u32]| {
        fs::metadata(path).is_ok_and(|found| found.is_dir() && owners.contains(&found.uid()))
    };
    let own = homes
        .iter()
        .filter(|home| home.parent().is_some() && is_owned(home, &[caller]))
        .cloned();
    let toolchains = toolchain::VARIABLES
        .iter()
        .flat_map(|name| environment.folders(name))
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| toolchain::is_elsewhere(folder, homes))
        .filter(|folder| is_owned(folder, &[0, caller]));
    own.map(|folder| Estate {
        entries: entries(&folder, Path::new(""), HOME),
        folder,
    })
    .chain(toolchains.map(toolchain_estate))
    .chain((caller == 0).then(configuration))
    .collect()
}

/// `/etc` for an agent of root.
fn configuration() -> Estate {
    let folder = PathBuf::from(CONFIGURATION);
    Estate {
        entries: entries(&folder, Path::new(""), ETC),
        folder,
    }
}

/// How the entries of an estate are told apart.
#[derive(Clone, Copy)]
struct Telling {
    is_deeper: fn(&Path) -> bool,
    is_withheld: fn(relative: &Path, file: &Path) -> bool,
}

const HOME: Telling = Telling {
    is_deeper: withheld::is_told_apart,
    is_withheld: |relative, file| withheld::is_withheld(relative) || holds_secret(relative, file),
};

const ETC: Telling = Telling {
    is_deeper: withheld::is_told_apart_for_root,
    is_withheld: |relative, _| withheld::is_roots(relative),
};

/// The entries of a folder, deeper where something below is withheld.
fn entries(folder: &Path, below: &Path, telling: Telling) -> Vec<Entry> {
    // A folder that cannot be listed gives nothing.
    let Ok(listing) = fs::read_dir(folder.join(below)) else {
        return Vec::new();
    };
    listing
        .flatten()
        .flat_map(|found| {
            let relative = below.join(found.file_name());
            let kind = found.file_type().ok();
            if kind.is_some_and(|kind| kind.is_dir()) && (telling.is_deeper)(&relative) {
                return entries(folder, &relative, telling);
            }
            vec![Entry {
                is_withheld: (telling.is_withheld)(&relative, &found.path()),
                is_link: kind.is_none_or(|kind| kind.is_symlink()),
                relative,
            }]
        })
        .collect()
}

/// The entries of a toolchain's folder, at the places that they would have in a home folder
/// (`CARGO_HOME` is like `.cargo`).
fn toolchain_estate(folder: PathBuf) -> Estate {
    let listing = fs::read_dir(&folder).into_iter().flatten().flatten();
    let entries = listing
        .map(|found| {
            let relative = PathBuf::from(found.file_name());
            let at_home = Path::new(".cargo").join(&relative);
            Entry {
                is_withheld: withheld::is_withheld(&at_home)
                    || holds_secret(&at_home, &found.path()),
                is_link: found.file_type().is_ok_and(|kind| kind.is_symlink()),
                relative,
            }
        })
        .collect();
    Estate { folder, entries }
}

/// Whether a file of configuration holds a secret; one that cannot be looked at does.
fn holds_secret(relative: &Path, file: &Path) -> bool {
    withheld::may_hold_secret(relative)
        && text(file).is_none_or(|text| withheld::holds_secret(&text))
}

/// The text of a file of moderate size.
fn text(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() > CONFIGURATION_MAX {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Consoles and serial lines on which this process speaks.
fn terminals() -> Vec<PathBuf> {
    let links = (0..3).filter_map(|number| fs::read_link(format!("/proc/self/fd/{number}")).ok());
    links
        .filter(|path| {
            let name = path.strip_prefix("/dev").ok().and_then(Path::to_str);
            name.is_some_and(|name| name.starts_with("tty") || name == "console")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_home_folder_is_found_by_the_users_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbad\n";
        assert_eq!(home_of(users, 1000), Some("/home/ann".into()));
        assert_eq!(home_of(users, 100), None);
        assert_eq!(home_of("x:x:5:5::relative:", 5), None);
    }

    fn home() -> TempDir {
        let home = TempDir::new().unwrap();
        let at = |path: &str| home.path().join(path);
        fs::create_dir_all(at(".config/gh")).unwrap();
        fs::create_dir_all(at(".config/nvim/lua")).unwrap();
        fs::write(at(".npmrc"), "//r/:_authToken=x").unwrap();
        fs::write(at(".gitconfig"), "[user]\nname = Ann").unwrap();
        symlink("/etc", at("link")).unwrap();
        home
    }

    #[test]
    fn entries_are_as_deep_as_something_is_withheld() {
        let home = home();
        let mut found = entries(home.path(), Path::new(""), HOME);
        found.sort_by(|a, b| a.relative.cmp(&b.relative));
        let paths: Vec<_> = found
            .iter()
            .map(|entry| entry.relative.to_str().unwrap())
            .collect();
        assert_eq!(
            paths,
            [".config/gh", ".config/nvim", ".gitconfig", ".npmrc", "link"]
        );
        let flagged = |entry: &&Entry| entry.is_withheld || entry.is_link;
        let flagged: Vec<_> = found
            .iter()
            .filter(flagged)
            .map(|e| e.relative.clone())
            .collect();
        assert_eq!(flagged, [".config/gh", ".npmrc", "link"].map(PathBuf::from));
    }

    #[test]
    fn a_path_of_the_caller_must_exist_and_one_of_the_policy_need_not() {
        let absent = PathBuf::from("/absent/path");
        assert!(matches!(
            allowed(std::slice::from_ref(&absent), &[]),
            Err(SurroundingsError::Folder(FolderError::Absent { .. }))
        ));
        let policy = [
            "/absent".to_owned(),
            "relative".to_owned(),
            "/usr".to_owned(),
        ];
        assert_eq!(allowed(&[], &policy).unwrap(), [PathBuf::from("/usr")]);
    }
}

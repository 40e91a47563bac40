//! Toolchains that live neither in a folder of the system nor in the caller's home folder.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::plan::SYSTEM;

/// What stands beside a `bin` folder and belongs to it.
const BESIDE: [&str; 14] = [
    "bin", "lib", "lib32", "lib64", "libexec", "share", "include", "pkg", "src", "etc", "opt",
    "Cellar", "plugins", "versions",
];

/// Variables that name the folder of a toolchain.
pub(crate) const VARIABLES: [&str; 18] = [
    "RUSTUP_HOME",
    "CARGO_HOME",
    "GOROOT",
    "GOPATH",
    "GOMODCACHE",
    "JAVA_HOME",
    "NVM_DIR",
    "VOLTA_HOME",
    "FNM_DIR",
    "BUN_INSTALL",
    "DENO_INSTALL",
    "PNPM_HOME",
    "PYENV_ROOT",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "SDKMAN_DIR",
];

/// A folder of PATH, and what stands beside it.
#[derive(Debug, Clone)]
pub(crate) struct OnPath {
    pub(crate) folder: PathBuf,
    /// The user who owns the folder above.
    pub(crate) owner: u32,
    pub(crate) beside: Vec<PathBuf>,
}

impl OnPath {
    /// Looks at a folder of PATH.
    pub(crate) fn look(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let above = folder.parent()?;
        let owner = fs::metadata(above).ok()?.uid();
        let beside = BESIDE
            .iter()
            .map(|name| above.join(name))
            .filter(|path| path.is_dir())
            .collect();
        Some(Self {
            folder,
            owner,
            beside,
        })
    }
}

/// Which folders are read and executed from because PATH names them.
pub(crate) fn folders(on_path: &[OnPath], homes: &[PathBuf], caller: u32) -> Vec<PathBuf> {
    on_path
        .iter()
        .filter(|entry| is_elsewhere(&entry.folder, homes))
        .flat_map(|entry| {
            // What another user owns may be that user's own `.local`.
            let is_trusted = entry.owner == 0 || entry.owner == caller;
            let above = entry.folder.parent();
            // A folder at the root of the machine holds more than a toolchain.
            let is_own_folder = above.is_some_and(|above| above.components().count() > 2)
                && !above.is_some_and(|above| above.ends_with(".local"));
            let beside = entry
                .beside
                .iter()
                .filter(move |_| is_trusted && is_own_folder);
            std::iter::once(&entry.folder).chain(beside).cloned()
        })
        .collect()
}

/// Whether a folder is readable by no other rule, and may be: what is in a home folder is decided
/// there, entry by entry.
pub(crate) fn is_elsewhere(folder: &Path, homes: &[PathBuf]) -> bool {
    let system = SYSTEM.iter().map(Path::new);
    let is_known = system
        .chain(homes.iter().map(PathBuf::as_path))
        .any(|known| folder.starts_with(known));
    let is_above_home = homes.iter().any(|home| home.starts_with(folder));
    let is_special = folder == Path::new("/")
        || ["/proc", "/sys", "/dev", "/tmp"]
            .iter()
            .any(|special| folder.starts_with(special) && folder.components().count() <= 2);
    !is_known && !is_above_home && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_path(folder: &str, owner: u32, beside: &[&str]) -> OnPath {
        OnPath {
            folder: folder.into(),
            owner,
            beside: beside.iter().map(PathBuf::from).collect(),
        }
    }

    fn found(entries: &[OnPath]) -> Vec<PathBuf> {
        folders(entries, &["/home/ann".into()], 1000)
    }

    #[test]
    fn a_toolchain_is_its_bin_folder_and_what_belongs_to_it() {
        let go = on_path("/data/go/bin", 0, &["/data/go/pkg", "/data/go/src"]);
        let expected = ["/data/go/bin", "/data/go/pkg", "/data/go/src"].map(PathBuf::from);
        assert_eq!(found(&[go]), expected);
    }

    #[test]
    fn another_users_folder_gives_no_more_than_path_names() {
        let local = on_path("/home/bob/.local/bin", 1001, &["/home/bob/.local/share"]);
        assert_eq!(found(&[local]), [PathBuf::from("/home/bob/.local/bin")]);
        let own = on_path("/data/ann/.local/bin", 1000, &["/data/ann/.local/share"]);
        assert_eq!(found(&[own]), [PathBuf::from("/data/ann/.local/bin")]);
    }

    #[test]
    fn what_is_known_or_too_wide_is_no_toolchain() {
        for folder in [
            "/usr/bin",
            "/home/ann/.docker/bin",
            "/home",
            "/",
            "/tmp",
            "/dev",
        ] {
            assert!(found(&[on_path(folder, 0, &[])]).is_empty(), "{folder}");
        }
        let wide = on_path("/srv/bin", 0, &["/srv/share"]);
        assert_eq!(found(&[wide]), [PathBuf::from("/srv/bin")]);
    }
}

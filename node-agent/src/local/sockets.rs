//! Which unix sockets of the local policy hold: those that the caller cannot put another one in the place of.
//!
//! The kernel sees the path as the caller wrote it, before it is resolved. Whoever can change a part of it could
//! lead it elsewhere.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

const STICKY: u32 = 0o1000;

/// Whether user `uid`, who is in those groups, can change where `path` leads; the part that lets them.
pub(super) fn changeable_part(
    path: &Path,
    uid: u32,
    groups: &BTreeSet<u32>,
) -> io::Result<Option<PathBuf>> {
    let real = fs::canonicalize(path)?;
    // The links on the way, and what they lead to.
    for part in path.ancestors().chain(real.ancestors()) {
        let metadata = fs::symlink_metadata(part)?;
        let mode = metadata.mode();
        // In a sticky folder such as /tmp nobody renames or removes what another one owns.
        let by_group = mode & 0o020 != 0 && groups.contains(&metadata.gid());
        let by_mode = metadata.is_dir() && mode & STICKY == 0 && (mode & 0o002 != 0 || by_group);
        if metadata.uid() == uid || by_mode {
            return Ok(Some(part.to_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const STRANGER: u32 = 4_000_000;

    fn own() -> (u32, u32) {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        (uid, gid)
    }

    fn changeable(folder_mode: u32, uid: u32, groups: &[u32]) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("service.sock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(folder_mode)).unwrap();
        let groups = groups.iter().copied().collect();
        changeable_part(&path, uid, &groups).unwrap().is_some()
    }

    #[test]
    fn what_the_caller_owns_or_may_write_is_theirs_to_change() {
        let (uid, gid) = own();
        assert!(changeable(0o755, uid, &[]), "an own folder");
        assert!(changeable(0o757, STRANGER, &[]), "a folder for everybody");
        assert!(
            changeable(0o775, STRANGER, &[gid]),
            "a folder of their group"
        );
    }

    #[test]
    fn what_others_own_and_close_is_not() {
        let (_, gid) = own();
        assert!(!changeable(0o755, STRANGER, &[gid]));
        assert!(!changeable(0o775, STRANGER, &[]), "another group");
        assert!(!changeable(0o1777, STRANGER, &[]), "a sticky folder");
    }

    #[test]
    fn a_link_of_the_callers_counts_too() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink("/proc/self/status", &link).unwrap();
        let part = changeable_part(&link, own().0, &BTreeSet::new()).unwrap();
        assert_eq!(part, Some(link.clone()));
        let missing = changeable_part(&folder.path().join("none"), STRANGER, &BTreeSet::new());
        assert!(missing.is_err());
    }
}

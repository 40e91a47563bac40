//! Who can change a file: its owner, whom its mode lets, and whoever can put another in its place.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, path::Path};

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Whether only `writers` can change what stands at `path`; else what is wrong, and how to mend it.
pub(super) fn check(path: &Path, writers: &BTreeSet<u32>) -> Result<(), String> {
    let real = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
    for part in real.ancestors() {
        let metadata =
            fs::metadata(part).map_err(|error| format!("{}: {error}", part.display()))?;
        let mode = metadata.mode() & 0o7777;
        // In a sticky folder such as /tmp nobody renames or removes what another one owns.
        let is_safe_folder = metadata.is_dir() && mode & STICKY != 0;
        let by_others = mode & WRITABLE_BY_OTHERS != 0 && !is_safe_folder;
        if by_others || !writers.contains(&metadata.uid()) {
            return Err(format!(
                "{}: {} can be changed by others than root and the admins of the local policy (owner {}, mode {mode:o}), and whoever can write a grant can give it; mend it with: chown root {1} && chmod go-w {1}",
                path.display(),
                part.display(),
                metadata.uid(),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn checked(file_mode: u32, folder_mode: u32, writers: &[u32]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(file_mode)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(folder_mode)).unwrap();
        check(&path, &writers.iter().copied().collect())
    }

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn a_file_that_only_its_writers_can_change_is_accepted() {
        checked(0o644, 0o755, &[0, own()]).unwrap();
        checked(0o644, 0o1777, &[0, own()]).unwrap();
    }

    #[test]
    fn a_file_that_others_can_change_or_replace_is_refused_with_the_remedy() {
        for (file, folder) in [
            (0o664, 0o755),
            (0o646, 0o755),
            (0o644, 0o775),
            (0o644, 0o757),
        ] {
            let problem = checked(file, folder, &[0, own()]).unwrap_err();
            assert!(problem.contains("chmod go-w"), "{problem}");
        }
        assert!(
            checked(0o644, 0o755, &[4_000_000]).is_err(),
            "another owner"
        );
    }
}

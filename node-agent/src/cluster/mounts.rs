//! A folder of the node agent's, shown to a pod: bound where the kubelet wants it, and only to be read.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount},
};
use thiserror::Error;

/// Why a folder is not shown, or still is.
#[derive(Debug, Error)]
#[error("{attempt} {path}: {source}", path = .path.display())]
pub(super) struct MountError {
    attempt: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> MountError {
    let path = path.to_owned();
    move |source| MountError {
        attempt,
        path,
        source,
    }
}

/// Shows `folder` at `target`, which is made if it is missing. Twice is once; what else was there, an earlier node
/// agent's folder that is gone, gives way.
pub(super) fn show(folder: &Path, target: &Path) -> Result<(), MountError> {
    fs::create_dir_all(target).map_err(failed("make", target))?;
    if is_shown(folder, target) {
        return Ok(());
    }
    hide_mounts(target)?;
    let bind = mount_bind(folder, target).map_err(io::Error::from);
    bind.map_err(failed("mount a folder at", target))?;
    let flags = MountFlags::BIND
        | MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC;
    if let Err(error) = mount_remount(target, flags, c"") {
        // What could be written to is not shown at all.
        let _ = hide_mounts(target);
        return Err(failed("make read-only", target)(error.into()));
    }
    Ok(())
}

/// Takes away what is shown at `target`, and the place itself.
pub(super) fn hide(target: &Path) -> Result<(), MountError> {
    hide_mounts(target)?;
    match fs::remove_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", target)(error))
        }
        _ => Ok(()),
    }
}

fn hide_mounts(target: &Path) -> Result<(), MountError> {
    loop {
        // A process of the pod may hold something of it open; it goes with the last of them.
        match unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there, or there is no such place.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(failed("unmount", target)(error.into())),
        }
    }
}

/// Whether `target` is that very folder, mounted read-only.
pub(super) fn is_shown(folder: &Path, target: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let is_same = id(folder).is_ok_and(|folder| id(target).is_ok_and(|target| target == folder));
    let is_read_only = rustix::fs::statvfs(target)
        .is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    is_same && is_read_only
}

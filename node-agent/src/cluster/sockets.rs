//! Sockets that a kubelet watches: there from one moment to the next, and never taken away from whoever came after.
//!
//! A kubelet drops a plugin when its file in `plugins_registry` goes. So each socket is made under a name that the kubelet
//! skips and renamed into place, over that of an earlier node agent if there is one; and at the end it is removed only if
//! it is still this one.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;
use tracing::warn;

/// A socket at a path. Its file is removed with it, if it is still its own.
pub(super) struct PlacedSocket {
    path: PathBuf,
    inode: u64,
}

impl PlacedSocket {
    /// Listens at `path`, in place of whoever did. `mode` says who may connect.
    pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(Self, UnixListener)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&temporary)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(mode))?;
        let inode = fs::symlink_metadata(&temporary)?.ino();
        fs::rename(&temporary, path)?;
        let placed = Self {
            path: path.to_owned(),
            inode,
        };
        Ok((placed, listener))
    }
}

impl Drop for PlacedSocket {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|found| found.ino());
        if found.is_ok_and(|found| found == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(%error, path = %self.path.display(), "a socket could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_later_is_not_taken_away_by_who_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.sock");
        let (first, _listener) = PlacedSocket::listen(&path, 0o600).unwrap();
        let (second, listener) = PlacedSocket::listen(&path, 0o666).unwrap();
        drop(first);
        let connected = tokio::net::UnixStream::connect(&path);
        let (connected, accepted) = tokio::join!(connected, listener.accept());
        connected.unwrap();
        accepted.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666);
        drop(second);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

//! Where programs and maps outlive the node agent: `/sys/fs/bpf/lanyard/NODE/vABI`.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use lanyard_access::digest::Sha256Digest;
use lanyard_node_agent_abi::VERSION;
use thiserror::Error;

/// Why the pins cannot be used.
#[derive(Debug, Error)]
pub enum PinError {
    /// No BPF filesystem.
    #[error("{0} is not a BPF filesystem; mount it with: mount -t bpf bpf {0}")]
    NotBpf(PathBuf),
    /// The system refused.
    #[error("{attempt} {path}: {source}")]
    System {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Programs with maps of another layout enforce here.
    #[error(
        "kernel programs with maps of another version enforce on this node ({0}); end them first with: lanyard down"
    )]
    OtherVersion(String),
}

/// The folder of one node's pins.
#[derive(Debug, Clone)]
pub struct Pins {
    node: PathBuf,
    folder: PathBuf,
    marker: PathBuf,
}

/// What was found under the pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or the rest of a start that never got to enforce anything.
    Nothing,
    /// Everything, of this very object.
    Complete,
    /// Everything, of another build; or of this one in part, for it was taking that one's place.
    OtherBuild,
}

impl Pins {
    /// Where the BPF filesystem is expected.
    pub const BPF: &'static str = "/sys/fs/bpf";

    /// The pins of `node` for the object with that digest.
    pub fn of(node: &str, object: &Sha256Digest) -> Self {
        // The BPF filesystem keeps names with dots for itself (kernel/bpf/inode.c); a node's has no underscore.
        let node = Path::new(Self::BPF)
            .join("lanyard")
            .join(node.replace('.', "_"));
        let folder = node.join(format!("v{VERSION}"));
        // A folder, for the BPF filesystem keeps no files; made last, when everything stands.
        let marker = folder.join(format!("object_{object}"));
        Self {
            node,
            folder,
            marker,
        }
    }

    /// The path of a pinned map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.folder.join(format!("map_{name}"))
    }

    /// The path of a pinned link.
    pub fn link(&self, name: &str) -> PathBuf {
        self.folder.join(format!("link_{name}"))
    }

    /// Looks at what is there. A start that was cut short is cleaned up: it enforced nothing for anybody.
    pub fn find(&self) -> Result<Found, PinError> {
        self.check_filesystem()?;
        if let Some(other) = self.other_version()? {
            return Err(PinError::OtherVersion(other));
        }
        if !self.folder.exists() {
            return Ok(Found::Nothing);
        }
        let markers = self.markers()?;
        if markers == [self.marker.clone()] {
            return Ok(Found::Complete);
        }
        if !markers.is_empty() {
            return Ok(Found::OtherBuild);
        }
        self.remove()?;
        Ok(Found::Nothing)
    }

    fn markers(&self) -> Result<Vec<PathBuf>, PinError> {
        let mut markers = entries(&self.folder)?;
        markers.retain(|path| name_of(path).starts_with("object_"));
        Ok(markers)
    }

    /// A folder of maps of another layout, in which something enforces.
    fn other_version(&self) -> Result<Option<String>, PinError> {
        if !self.node.exists() {
            return Ok(None);
        }
        for folder in entries(&self.node)? {
            let is_other = folder != self.folder;
            let mut names = entries(&folder)?.into_iter().map(|path| name_of(&path));
            if is_other && names.any(|name| name.starts_with("object_")) {
                return Ok(Some(name_of(&folder)));
            }
        }
        Ok(None)
    }

    /// Removes the pins of links for which `is_kept` does not hold.
    pub(super) fn remove_links(&self, is_kept: impl Fn(&str) -> bool) -> Result<(), PinError> {
        for path in entries(&self.folder)? {
            let name = name_of(&path);
            let Some(link) = name.strip_prefix("link_") else {
                continue;
            };
            if !is_kept(link) {
                fs::remove_file(&path).map_err(|source| system("remove", &path, source))?;
            }
        }
        Ok(())
    }

    /// Makes the folder, closed to everybody but root.
    ///
    /// Another node of this machine makes and removes the folder of all nodes at any time.
    pub fn prepare(&self) -> Result<(), PinError> {
        const TRIES: usize = 100;
        let top = Path::new(Self::BPF).join("lanyard");
        let folders = [&top, &self.node, &self.folder];
        let try_once = || folders.iter().try_for_each(|folder| make_closed(folder));
        for _ in 1..TRIES {
            match try_once() {
                Err(PinError::System { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                made => return made,
            }
        }
        try_once()
    }

    /// Says that everything stands, of this build alone.
    pub fn complete(&self) -> Result<(), PinError> {
        if !self.marker.exists() {
            fs::create_dir(&self.marker).map_err(|source| system("make", &self.marker, source))?;
        }
        // Last: with two markers nothing is taken for complete, with none everything for a start cut short.
        for marker in self.markers()? {
            if marker != self.marker {
                fs::remove_dir(&marker).map_err(|source| system("remove", &marker, source))?;
            }
        }
        Ok(())
    }

    /// Whether anything of this node is pinned, of whatever build.
    pub fn is_anything_there(&self) -> bool {
        self.node.exists()
    }

    /// Removes every pin of this node: enforcement ends with the last link.
    ///
    /// Links go first: a program without its maps cannot be, but one without its sisters could.
    pub fn remove(&self) -> Result<(), PinError> {
        if !self.node.exists() {
            return Ok(());
        }
        for version in entries(&self.node)? {
            let mut paths = entries(&version)?;
            paths.sort_by_key(|path| !name_of(path).starts_with("link_"));
            for path in paths {
                let gone = if path.is_dir() {
                    fs::remove_dir(&path)
                } else {
                    fs::remove_file(&path)
                };
                gone.map_err(|source| system("remove", &path, source))?;
            }
            fs::remove_dir(&version).map_err(|source| system("remove", &version, source))?;
        }
        fs::remove_dir(&self.node).map_err(|source| system("remove", &self.node, source))?;
        // Other nodes' folders may stand beside this one.
        let _ = fs::remove_dir(Path::new(Self::BPF).join("lanyard"));
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "a question about these pins' place")]
    fn check_filesystem(&self) -> Result<(), PinError> {
        // BPF_FS_MAGIC, include/uapi/linux/magic.h
        const MAGIC: u64 = 0xcafe_4a11;
        let path = Path::new(Self::BPF);
        let stat =
            rustix::fs::statfs(path).map_err(|source| system("look at", path, source.into()))?;
        let magic = u64::try_from(stat.f_type).unwrap_or(0) & 0xffff_ffff;
        if magic == MAGIC {
            Ok(())
        } else {
            Err(PinError::NotBpf(path.to_owned()))
        }
    }
}

fn make_closed(folder: &Path) -> Result<(), PinError> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => {
            return Err(system("make", folder, source));
        }
        Ok(()) | Err(_) => {}
    }
    let closed = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    closed.map_err(|source| system("close", folder, source))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, PinError> {
    let read =
        fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    read.map_err(|source| system("list", folder, source))
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn system(attempt: &'static str, path: &Path, source: io::Error) -> PinError {
    PinError::System {
        attempt,
        path: path.to_owned(),
        source,
    }
}

//! A scope: the processes of one `lanyard run` or of one pod, fenced together, with a broker of their own.

pub mod cgroup;
pub mod fence;
pub mod inherited;
pub mod listeners;
pub mod pod;
pub mod trust;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use lanyard_access::{host::DnsName, object::ObjectKey, pod as pod_volumes};
use lanyard_protocol::record::ScopeRef;
use thiserror::Error;
use tracing::warn;
use zeroize::Zeroizing;

use self::{
    cgroup::Cgroup,
    fence::Fence,
    listeners::Listeners,
    pod::{Pod, PodCgroup},
    trust::{Own, Variable},
};
use crate::{
    interception::{InterceptionError, ScopeRoot},
    kept::{KeptError, KeptScope, write_private},
    names::Names,
    place::Place,
};

/// Why a scope was not made.
#[derive(Debug, Error)]
pub enum ScopeError {
    /// A file of its own could not be read or written.
    #[error("{attempt} {path}: {source}", path = .path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its root's key could not be kept.
    #[error(transparent)]
    Kept(#[from] KeptError),
    /// Its root could not be made.
    #[error(transparent)]
    Interception(#[from] InterceptionError),
    /// Its cgroup could not be made.
    #[error(transparent)]
    Cgroup(#[from] cgroup::CgroupError),
    /// Its broker has nowhere to listen.
    #[error("open the sockets of a broker: {0}")]
    Listeners(#[source] io::Error),
}

/// One scope.
pub struct Scope {
    /// Its number on this node and boot; also the principal of its agent in the kernel's maps.
    pub id: u32,
    /// Its name on this node.
    pub name: String,
    /// The agent that runs in it.
    pub agent: ObjectKey,
    /// The user that started it.
    pub uid: u32,
    /// Addresses of its names.
    pub names: Names,
    /// Granted names for which it has no address left.
    pub refused_names: BTreeSet<DnsName>,
    /// Its processes' cgroup.
    pub fence: Fence,
    /// Where its broker listens. They stay open when a broker dies, so that nobody else takes them. A pod has none
    /// before its broker is there.
    pub listeners: Option<Listeners>,
    /// Its own root.
    pub root: ScopeRoot,
    /// Where what its programs trust is.
    folder: PathBuf,
}

impl Scope {
    /// Makes a scope that has no process yet. `now` in seconds since 1970.
    pub fn make(
        place: &Place,
        id: u32,
        agent: ObjectKey,
        uid: u32,
        now: i64,
    ) -> Result<Self, ScopeError> {
        let name = format!("{}-{id}", agent.name);
        Self::begin(place, id, name, agent, uid, None, now)
    }

    /// Makes a scope for a pod of which nothing runs yet. `now` in seconds since 1970.
    pub fn of_pod(
        place: &Place,
        id: u32,
        agent: ObjectKey,
        pod: Pod,
        now: i64,
    ) -> Result<Self, ScopeError> {
        let name = format!("pod-{}", pod.uid);
        Self::begin(place, id, name, agent, 0, Some(pod), now)
    }

    fn begin(
        place: &Place,
        id: u32,
        name: String,
        agent: ObjectKey,
        uid: u32,
        pod: Option<Pod>,
        now: i64,
    ) -> Result<Self, ScopeError> {
        let root = ScopeRoot::generate(&name, now)?;
        let folder = state_folder(place, &name);
        fs::create_dir_all(&folder).map_err(|source| file("make", &folder, source))?;
        write_private(&folder.join("root.key"), root.key_pem().as_bytes())?;
        write_private(&folder.join("root.pem"), root.certificate_pem().as_bytes())?;
        let kept = KeptScope {
            name,
            agent,
            uid,
            names: Names::default(),
            pod,
            is_released: false,
        };
        let scope = Self::assemble(place, id, kept, root)?;
        scope.trust_also("")?;
        Ok(scope)
    }

    /// Takes up a scope whose processes outlived the node agent.
    pub fn adopt(place: &Place, id: u32, kept: KeptScope) -> Result<Self, ScopeError> {
        let folder = state_folder(place, &kept.name);
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|source| file("read", &path, source))
        };
        let root = ScopeRoot::from_pem(
            kept.name.clone(),
            Zeroizing::new(read("root.key")?),
            read("root.pem")?,
        );
        let scope = Self::assemble(place, id, kept, root)?;
        // What its starter added is in the one that is there.
        if !trust::is_written(&scope.folder) {
            scope.trust_also("")?;
        }
        Ok(scope)
    }

    fn assemble(
        place: &Place,
        id: u32,
        kept: KeptScope,
        root: ScopeRoot,
    ) -> Result<Self, ScopeError> {
        let KeptScope {
            name,
            agent,
            uid,
            names,
            pod,
            is_released,
        } = kept;
        let (fence, listeners) = if let Some(pod) = pod {
            let cgroup = PodCgroup::of(&pod.uid, &place.kubelet_root);
            let fence = Fence::Pod {
                pod,
                cgroup,
                is_released,
            };
            (fence, None)
        } else {
            let cgroup = Cgroup::make(&place.cgroup.join(&name))?;
            let listeners = Listeners::open().map_err(ScopeError::Listeners)?;
            (Fence::Own(cgroup), Some(listeners))
        };
        let folder = run_folder(place, &name);
        fs::create_dir_all(&folder).map_err(|source| file("make", &folder, source))?;
        Ok(Self {
            id,
            name,
            agent,
            uid,
            names,
            refused_names: BTreeSet::new(),
            fence,
            listeners,
            root,
            folder,
        })
    }

    /// What is kept of it.
    pub fn kept(&self) -> KeptScope {
        KeptScope {
            name: self.name.clone(),
            agent: self.agent.clone(),
            uid: self.uid,
            names: self.names.clone(),
            pod: self.fence.pod().cloned(),
            is_released: self.fence.is_released(),
        }
    }

    /// What records call it.
    pub fn reference(&self) -> ScopeRef {
        ScopeRef {
            name: self.name.clone(),
            agent: self.agent.clone(),
            uid: self.uid,
        }
    }

    /// Environment for what runs in it: where each runtime looks for roots it trusts, and what it is.
    pub fn variables(&self) -> Vec<Variable> {
        let of_its_own = |name, value| Variable {
            name,
            value,
            own: Own::Replaced,
        };
        let mut variables = trust::variables(self.shown());
        variables.push(of_its_own("LANYARD_SCOPE", self.name.clone()));
        variables.push(of_its_own("LANYARD_AGENT", self.agent.to_string()));
        variables
    }

    /// Adds to what its programs trust: roots that its starter trusts.
    pub fn trust_also(&self, added: &str) -> Result<(), ScopeError> {
        let root = self.root.certificate_pem();
        trust::write(&self.folder, self.shown(), root, added)
    }

    /// The path under which its programs see what they trust.
    pub fn shown(&self) -> &Path {
        match self.fence {
            Fence::Own(_) => &self.folder,
            Fence::Pod { .. } => Path::new(pod_volumes::TRUST_VOLUME.1),
        }
    }

    /// The folder with what its programs trust.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what it has on disk.
    pub fn remove_files(&self, place: &Place) {
        for folder in [
            state_folder(place, &self.name),
            run_folder(place, &self.name),
        ] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    warn!(%error, folder = %folder.display(), "the folder of a scope could not be removed");
                }
                _ => {}
            }
        }
    }
}

fn state_folder(place: &Place, name: &str) -> PathBuf {
    place.state.join("scopes").join(name)
}

fn run_folder(place: &Place, name: &str) -> PathBuf {
    place.run.join("scopes").join(name)
}

fn file(attempt: &'static str, path: &Path, source: io::Error) -> ScopeError {
    ScopeError::File {
        attempt,
        path: path.to_owned(),
        source,
    }
}

//! A scope: the processes of one `lanyard run`, fenced together, with a broker of their own.

pub mod cgroup;
pub mod inherited;
pub mod listeners;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lanyard_access::object::ObjectKey;
use lanyard_protocol::record::ScopeRef;
use thiserror::Error;
use tracing::warn;
use zeroize::Zeroizing;

use self::{cgroup::Cgroup, listeners::Listeners};
use crate::{
    interception::{InterceptionError, ScopeRoot},
    kept::{KeptError, KeptScope, write_private},
    names::Names,
    place::Place,
};

/// Where distributions keep the roots that everybody trusts.
const SYSTEM_ROOTS: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

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
    /// Its processes' cgroup.
    pub cgroup: Cgroup,
    /// Where its broker listens. They stay open when a broker dies, so that nobody else takes them.
    pub listeners: Listeners,
    /// Its own root.
    pub root: ScopeRoot,
    /// The roots its processes trust.
    pub bundle: PathBuf,
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
        let root = ScopeRoot::generate(&name, now)?;
        let folder = state_folder(place, &name);
        fs::create_dir_all(&folder).map_err(|source| file("make", &folder, source))?;
        write_private(&folder.join("root.key"), root.key_pem().as_bytes())?;
        write_private(&folder.join("root.pem"), root.certificate_pem().as_bytes())?;
        Self::assemble(
            place,
            id,
            KeptScope {
                name,
                agent,
                uid,
                names: Names::default(),
            },
            root,
        )
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
        Self::assemble(place, id, kept, root)
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
        } = kept;
        let cgroup = Cgroup::make(&place.cgroup.join(&name))?;
        let listeners = Listeners::open().map_err(ScopeError::Listeners)?;
        let bundle = write_bundle(place, &name, root.certificate_pem())?;
        Ok(Self {
            id,
            name,
            agent,
            uid,
            names,
            cgroup,
            listeners,
            root,
            bundle,
        })
    }

    /// What is kept of it.
    pub fn kept(&self) -> KeptScope {
        KeptScope {
            name: self.name.clone(),
            agent: self.agent.clone(),
            uid: self.uid,
            names: self.names.clone(),
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

    /// Environment for what runs in it: where each runtime looks for roots it trusts.
    pub fn variables(&self) -> Vec<(String, String)> {
        const BUNDLE: [&str; 10] = [
            "SSL_CERT_FILE",
            "CURL_CA_BUNDLE",
            "REQUESTS_CA_BUNDLE",
            "NODE_EXTRA_CA_CERTS",
            "GIT_SSL_CAINFO",
            "PIP_CERT",
            "AWS_CA_BUNDLE",
            "CARGO_HTTP_CAINFO",
            "DENO_CERT",
            "LANYARD_TRUST_BUNDLE",
        ];
        let bundle = self.bundle.display().to_string();
        let mut variables: Vec<_> = BUNDLE.map(|name| (name.to_owned(), bundle.clone())).into();
        variables.push(("LANYARD_SCOPE".to_owned(), self.name.clone()));
        variables.push(("LANYARD_AGENT".to_owned(), self.agent.to_string()));
        variables
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

fn write_bundle(place: &Place, name: &str, root: &str) -> Result<PathBuf, ScopeError> {
    let folder = run_folder(place, name);
    fs::create_dir_all(&folder).map_err(|source| file("make", &folder, source))?;
    let path = folder.join("bundle.pem");
    let system = SYSTEM_ROOTS
        .iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    fs::write(&path, format!("{root}{system}")).map_err(|source| file("write", &path, source))?;
    Ok(path)
}

fn file(attempt: &'static str, path: &Path, source: io::Error) -> ScopeError {
    ScopeError::File {
        attempt,
        path: path.to_owned(),
        source,
    }
}

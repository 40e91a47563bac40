//! The policy file of the machine: who may do what, and where its secrets are.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    rc::Rc,
};

use lanyard_access::{
    credential::Source,
    object::{Namespace, ObjectKey, ObjectName},
    spiffe_id::TrustDomain,
};
use lanyard_authority_core::{
    self as authority,
    basic::Basic,
    secret_command::SecretCommand,
    secret_file::SecretFile,
    secret_key::{SecretKey, SecretPlace},
};
use lanyard_crds::{
    local_policy::{self, LocalPolicy, SocketPath},
    problem::Problem,
};
use lanyard_protocol::broker::UpstreamProxy;
use rustix::{
    fs::{Mode, OFlags, fstat, open},
    io::Errno,
};
use thiserror::Error;
use tracing::warn;
use zeroize::Zeroizing;

use super::sockets;
use crate::{
    callers::{Allowance, Caller, Callers},
    credentials::{CredentialError, Credentials, MachineProxy, Obtain, Obtained, Wanted},
    user,
};

/// Why the policy is not accepted.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The file could not be opened.
    #[error("read the local policy {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Errno,
    },
    /// Others than root can change it.
    #[error("the local policy {path} can be changed by others than root: chown root {path} && chmod go-w {path}", path = .0.display())]
    NotRoots(PathBuf),
    /// It has mistakes.
    #[error("the local policy has mistakes:\n{0}")]
    Mistakes(String),
}

/// The policy as it was at the start.
pub(super) struct FilePolicy(LocalPolicy);

impl FilePolicy {
    /// Reads the file. Without one, only root may do anything.
    pub(super) fn read(path: &Path) -> Result<Self, PolicyError> {
        match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::NOENT) => return Self::none(),
            Err(source) => {
                return Err(PolicyError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
            Ok(file) => {
                let stat = fstat(&file).map_err(|source| PolicyError::Read {
                    path: path.to_owned(),
                    source,
                })?;
                if stat.st_uid != 0 || stat.st_mode & 0o022 != 0 {
                    return Err(PolicyError::NotRoots(path.to_owned()));
                }
            }
        }
        Self::checked(local_policy::read_file(path))
    }

    /// The policy of a machine without a file.
    pub(super) fn none() -> Result<Self, PolicyError> {
        Self::checked(local_policy::read_text("no policy file", "{}"))
    }

    fn checked(read: Result<LocalPolicy, Vec<Problem>>) -> Result<Self, PolicyError> {
        read.map(Self).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            PolicyError::Mistakes(lines.join("\n"))
        })
    }
}

impl FilePolicy {
    /// Whose manifests count: root's and the admins'. An agent runs as other users, and may not write what it
    /// is granted.
    pub(super) fn writers(&self) -> BTreeSet<u32> {
        let admins = self.0.admins.iter().filter_map(|name| user::by_name(name));
        admins.map(|id| id.uid).chain([0]).collect()
    }
}

impl Callers for FilePolicy {
    fn may_run(&self, caller: &Caller, agent: &ObjectKey) -> bool {
        if caller.uid == 0 {
            return true;
        }
        let account = user::account(caller.uid);
        self.0.identities.get(agent).is_some_and(|allowed| {
            allowed.users.contains(&account.name) || !allowed.groups.is_disjoint(&account.groups)
        })
    }

    fn is_admin(&self, caller: &Caller) -> bool {
        caller.uid == 0 || self.0.admins.contains(&user::account(caller.uid).name)
    }

    fn allowance(&self, caller: &Caller, agent: &ObjectKey) -> Allowance {
        let allowed = self.0.identities.get(agent);
        let paths = allowed.into_iter().flat_map(|allowed| &allowed.allow_paths);
        let sockets = allowed
            .into_iter()
            .flat_map(|allowed| &allowed.unix_sockets);
        Allowance {
            paths: paths.map(|path| path.as_str().to_owned()).collect(),
            unix_sockets: sockets
                .map(SocketPath::as_str)
                .filter(|path| holds(path, caller.uid))
                .map(str::to_owned)
                .collect(),
            minimum_landlock: self.0.minimum_landlock.into(),
        }
    }
}

impl FilePolicy {
    /// Where a secret is on this machine.
    fn place_of(
        &self,
        namespace: &Namespace,
        name: &ObjectName,
        key: &str,
    ) -> Result<SecretPlace, CredentialError> {
        let wanted = local_policy::SecretKey {
            namespace: namespace.clone(),
            name: name.clone(),
            key: key.to_owned(),
        };
        match self.0.secrets.get(&wanted) {
            Some(local_policy::SecretPlace::File(file)) => {
                Ok(SecretPlace::File(SecretFile::of_root(file.clone())))
            }
            Some(local_policy::SecretPlace::Command { program, arguments }) => {
                let command = SecretCommand::of_root(program.clone(), arguments.clone());
                Ok(SecretPlace::Command(command))
            }
            None => Err(CredentialError::NotMapped(wanted.to_string())),
        }
    }
}

/// Whether a socket is what root meant, whoever asks for it.
fn holds(path: &str, uid: u32) -> bool {
    let groups = user::account(uid).group_ids;
    match sockets::changeable_part(Path::new(path), uid, &groups) {
        Ok(None) => true,
        Ok(Some(part)) => {
            warn!(path, part = %part.display(), uid, "a unix socket of the local policy is not allowed: that user can put another one in its place");
            false
        }
        Err(error) => {
            warn!(path, %error, "a unix socket of the local policy is not allowed: it cannot be looked at");
            false
        }
    }
}

impl Credentials for Rc<FilePolicy> {
    fn source(&self, wanted: &Wanted) -> Result<Obtain, CredentialError> {
        let Wanted::Here(source) = wanted else {
            let why = "this machine asks no authority of a cluster";
            return Err(CredentialError::Source(why.to_owned()));
        };
        let namespace = &source.key.namespace;
        let place = |name: &ObjectName, key: &str| self.place_of(namespace, name, key);
        let source: Box<dyn authority::Source> = match &source.source {
            Source::SecretKey { name, key } => Box::new(SecretKey(place(name, key)?)),
            // As Kubernetes' own type of such secrets calls them.
            Source::Basic { name } => Box::new(Basic {
                username: place(name, "username")?,
                password: place(name, "password")?,
            }),
        };
        Ok(Box::new(move || {
            let obtained = source.obtain();
            let obtained = obtained.map_err(|error| CredentialError::Source(error.to_string()))?;
            Ok(Obtained {
                username: obtained.username,
                secret: Zeroizing::new(obtained.secret.reveal().to_vec()),
            })
        }))
    }

    fn machine_proxy(&self) -> Option<MachineProxy> {
        let proxy = self.0.upstream_proxy.as_ref()?;
        Some(MachineProxy {
            told: UpstreamProxy {
                host: proxy.host.to_string(),
                port: proxy.port.get().into(),
                has_secret: proxy.secret.is_some(),
                except: proxy.except.iter().map(ToString::to_string).collect(),
            },
            secret: proxy.secret.clone(),
        })
    }

    fn trust_domain(&self) -> TrustDomain {
        self.0.trust_domain.clone()
    }
}

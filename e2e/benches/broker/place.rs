//! Where it is measured: the stage of the tests, with a service that can take the load, on a host of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lanyard_e2e::{
    counterparts::{self, Running},
    grant::{NamedGrant, whoever},
    scenes::{Stage, TOKEN, TOOLS},
    service::NAME,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{authority::Authority, origin};

/// The port of the service that streams events.
pub(crate) const EVENTS: u16 = 8445;

/// Everything but those who are measured. What is above is ended first.
pub(crate) struct Place {
    /// Ended when this is dropped.
    _servers: [Running; 2],
    /// Who vouches for those that intercept.
    pub(crate) authority: Authority,
    /// This program, where every user can execute it.
    pub(crate) program: PathBuf,
    /// Lanyard and the lab.
    pub(crate) stage: Stage,
}

impl Place {
    /// Starts the services, and Lanyard with grants to them.
    pub(crate) fn make() -> Result<Self> {
        let stage = Stage::set()?;
        let authority = Authority::make(&stage)?;
        let own = env::current_exe().context("find this program")?;
        let program = stage.lab.copy_program(&own, "programs/load")?;
        let servers = [
            origin::start(&stage.lab, TOKEN)?,
            counterparts::python(&stage.lab, TOKEN)?,
        ];
        stage
            .lab
            .write("manifests/tools.yaml", whoever(TOOLS))
            .context("write the agent")?;
        for (name, port) in [("origin", origin::PORT), ("events", EVENTS)] {
            grant(&stage, name, port)?;
        }
        Ok(Self {
            _servers: servers,
            authority,
            program,
            stage,
        })
    }

    /// A path in the lab.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.stage.lab.path(name)
    }

    /// Writes a file in the lab.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        self.stage.lab.write(name, content)
    }

    /// PEM of the service's own authority.
    pub(crate) fn service_roots(&self) -> Result<PathBuf> {
        self.write("peers/service-roots.pem", &self.stage.service.authority)
    }
}

fn grant(stage: &Stage, name: &str, port: u16) -> Result<()> {
    let grant = NamedGrant {
        name,
        agent: TOOLS,
        host: NAME,
        port,
        protocol: "HTTPS",
        resource: Vec::new(),
        authority: Some(&stage.service.authority),
        credential: Some("token"),
        spec: Vec::new(),
    };
    let file = format!("manifests/{name}.yaml");
    stage.lab.write(&file, grant.yaml())?;
    stage.lanyard.until_live(&format!("default/{name}"))
}

/// A thousand streams are two thousand sockets of who carries them.
pub(crate) fn raise_limits() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, all).context("open more files")
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

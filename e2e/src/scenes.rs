//! What the demo shows and the tests hold Lanyard to: each scene is played on real input and returns the
//! evidence, or says what differed.

pub mod coding_agent;
pub mod entered;
pub mod granted;
pub mod lowered;
pub mod observed;
pub mod on_time;
pub mod refused;
pub mod requests;
pub mod revoked;
pub mod streamed;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    agent,
    lab::Lab,
    lanyard::Lanyard,
    manifest, peers,
    service::{self, Service},
};

/// The token that the service demands. No agent is ever to hold it.
pub const TOKEN: &str = "demo-4f1c9d2e7b8a6053-token";
/// Another token, for tests of two credentials: [`SECOND`] in the policy.
pub const SECOND_TOKEN: &str = "demo-b0d37c5e1f9248a6-token";
/// The lines of a credential source that has the other token.
pub const SECOND: [&str; 4] = [
    "type: SecretKey",
    "secretKey:",
    "  name: second",
    "  key: token",
];
/// The lines of a credential source that has what [`Stage::source`] prints.
pub const SCRIPTED: [&str; 4] = [
    "type: SecretKey",
    "secretKey:",
    "  name: scripted",
    "  key: token",
];
/// The user name that goes with it where a service wants one.
pub const LOGIN: &str = "x-access-token";
/// The user that the agents of most scenes run as.
pub const USER: &str = "nobody";

/// The agents of all scenes; who may run them is in the policy, which is read once.
const AGENTS: [&str; 7] = [
    "bot", "coder", "watched", "scripted", "other", "asker", TOOLS,
];
/// The one that is whatever runs in its scope: for programs of others, which may be installed anew.
pub const TOOLS: &str = "tools";
/// The one that may reach a unix socket, [`Stage::listed_socket`].
const ASKER: &str = "asker";

/// The script that [`SCRIPTED`] runs.
const SOURCE: &str = "secrets/source.sh";

/// Evidence, a line each, for a person.
pub type Evidence = Vec<String>;

/// Everything on its place: the service, two programs that are the agent, and Lanyard with their grants.
pub struct Stage {
    /// Lanyard. Ended first.
    pub lanyard: Lanyard,
    /// The service.
    pub service: Service,
    /// A copy of curl that is the agent.
    pub curl: PathBuf,
    /// The Python that is the agent.
    pub python: PathBuf,
    /// The place.
    pub lab: Lab,
}

/// Who may run which agent. What they run is in a folder that only root can write.
fn policy(lab: &Lab, secret: &Path, login: &Path) -> String {
    let programs = lab.path("programs");
    let listed = listed_socket(lab);
    let agent = |agent| {
        let sockets = match agent {
            ASKER => format!("    unixSockets: [{}]\n", listed.display()),
            _ => String::new(),
        };
        format!(
            "  - name: {agent}\n    allowedUsers: [{USER}]\n    allowPaths: [{}, {}]\n{sockets}",
            programs.display(),
            peers::folder().display()
        )
    };
    format!(
        "trustDomain: demo.test\nidentities:\n{}secrets:\n  - secret: default/service/token\n    file: {}\n  - secret: default/login/username\n    file: {}\n  - secret: default/login/password\n    command: [/bin/cat, {}]\n  - secret: default/second/token\n    command: [/bin/echo, {SECOND_TOKEN}]\n  - secret: default/scripted/token\n    command: [/bin/sh, {}]\n",
        AGENTS.map(agent).concat(),
        secret.display(),
        login.display(),
        secret.display(),
        lab.path(SOURCE).display()
    )
}

fn listed_socket(lab: &Lab) -> PathBuf {
    lab.path("sockets").join("listed.sock")
}

impl Stage {
    /// The unix socket that the agent `asker` may reach, in a folder that only root can write.
    pub fn listed_socket(&self) -> PathBuf {
        listed_socket(&self.lab)
    }

    /// Sets the stage.
    pub fn set() -> Result<Self> {
        let lab = Lab::new()?;
        std::fs::create_dir_all(peers::folder()).context("make the folder of peers")?;
        let service = Service::start(&lab, TOKEN)?;
        let (curl, python) = (agent::curl(&lab)?, agent::python()?);
        let secret = lab.write("secrets/token", format!("{TOKEN}\n"))?;
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let login = lab.write("secrets/login", format!("{LOGIN}\n"))?;
        std::fs::set_permissions(&login, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let policy = policy(&lab, &secret, &login);
        lab.write("local.yaml", policy)?;
        let stage_manifests = [
            (
                "bot.yaml",
                manifest::identity(&[("curl", curl.as_path()), ("python", python.as_path())])?,
            ),
            ("token.yaml", manifest::credential(service::NAME)),
            (
                "api.yaml",
                manifest::https_grant("api", service::NAME, &service.authority, "1h"),
            ),
            (
                "plain.yaml",
                manifest::tcp_grant("plain", &lab.address(), service::PLAIN_PORT, "1h"),
            ),
        ];
        for (name, manifest) in stage_manifests {
            lab.write(&format!("manifests/{name}"), manifest)?;
        }
        let lanyard = Lanyard::up(&lab).context("start Lanyard")?;
        Ok(Self {
            lanyard,
            service,
            curl,
            python,
            lab,
        })
    }

    /// Makes the program of the source [`SCRIPTED`] do that.
    pub fn source(&self, script: &str) -> Result<()> {
        self.lab.write(SOURCE, script).map(drop)
    }

    /// curl as the agent, as an ordinary user.
    pub fn curl(&self, arguments: &[&str]) -> std::process::Command {
        let curl = self.curl.display().to_string();
        let command: Vec<&str> = [curl.as_str(), "--silent", "--show-error"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.lanyard.run(Some(USER), &command)
    }

    /// Python as the agent.
    pub fn python(&self, arguments: &[&str]) -> std::process::Command {
        let python = self.python.display().to_string();
        let command: Vec<&str> = [python.as_str()]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        self.lanyard.run(None, &command)
    }

    /// The service's URL for a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://{}{path}", service::NAME)
    }

    /// The service's URL for a path, without TLS, name and broker.
    pub fn plain_url(&self, path: &str) -> String {
        format!(
            "http://{}:{}{path}",
            self.lab.address(),
            service::PLAIN_PORT
        )
    }
}

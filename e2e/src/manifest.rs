//! What a person writes, as text.

use std::path::Path;

use anyhow::Result;

use crate::agent::sha256;

/// An AgentIdentity.
pub struct Identity {
    name: String,
    settings: Vec<String>,
    processes: Vec<String>,
}

impl Identity {
    /// One that lists nothing yet.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: Vec::new(),
            processes: Vec::new(),
        }
    }

    /// Sets a field of the spec, such as `enforcement: Observe`.
    #[must_use]
    pub fn with(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// Lists a program, with what its children inherit.
    pub fn program(self, name: &str, path: &Path, children: &str) -> Result<Self> {
        self.process(name, path, None, children)
    }

    /// Lists an interpreter for one script.
    pub fn script(self, name: &str, interpreter: &Path, script: &Path) -> Result<Self> {
        self.process(name, interpreter, Some(script), "None")
    }

    fn process(
        mut self,
        name: &str,
        path: &Path,
        script: Option<&Path>,
        children: &str,
    ) -> Result<Self> {
        self.processes.push(format!("    - name: {name}"));
        self.processes.push(format!("      children: {children}"));
        for (field, path) in [("executable", Some(path)), ("script", script)] {
            let Some(path) = path else { continue };
            self.processes.push(format!("      {field}:"));
            self.processes
                .push(format!("        path: {}", path.display()));
            self.processes
                .push(format!("        sha256: \"{}\"", sha256(path)?));
        }
        Ok(self)
    }

    /// As a person writes it.
    pub fn yaml(self) -> String {
        let mut lines = vec![
            "apiVersion: lanyard.dev/v1alpha1".to_owned(),
            "kind: AgentIdentity".to_owned(),
            "metadata:".to_owned(),
            format!("  name: {}", self.name),
            "spec:".to_owned(),
        ];
        lines.extend(
            self.settings
                .into_iter()
                .map(|setting| format!("  {setting}")),
        );
        lines.push("  workloadSelector:".to_owned());
        if self.processes.is_empty() {
            lines.push("    processes: []".to_owned());
        } else {
            lines.push("    processes:".to_owned());
        }
        lines.extend(self.processes);
        lines.join("\n")
    }
}

/// Agent `bot`, which is these programs.
pub fn identity(programs: &[(&str, &Path)]) -> Result<String> {
    let nobody_yet = Ok(Identity::named("bot"));
    let listed = programs.iter().fold(nobody_yet, |identity, (name, path)| {
        identity?.program(name, path, "None")
    });
    listed.map(Identity::yaml)
}

/// A grant to an address or a network, of any agent, at any level of evidence.
pub struct DirectGrant<'a> {
    /// Its name.
    pub name: &'a str,
    /// The agent's.
    pub agent: &'a str,
    /// `Image`, `Lineage` or `Scope`.
    pub requires: &'a str,
    /// An address or a network.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: &'a str,
    /// How long it lives.
    pub duration: &'a str,
}

impl DirectGrant<'_> {
    /// As a person writes it.
    pub fn yaml(&self) -> String {
        format!(
            "apiVersion: lanyard.dev/v1alpha1\nkind: AccessGrant\nmetadata:\n  name: {}\nspec:\n  identityRef:\n    name: {}\n  requires: {}\n  resource:\n    host: \"{}\"\n    port: {}\n    protocol: {}\n  duration: {}\n",
            self.name,
            self.agent,
            self.requires,
            self.host,
            self.port,
            self.protocol,
            self.duration
        )
    }
}

/// A grant of agent `bot` to a name, with the service's token.
pub fn https_grant(name: &str, host: &str, authority: &str, duration: &str) -> String {
    let bundle: Vec<String> = authority
        .lines()
        .map(|line| format!("      {line}"))
        .collect();
    let head = grant_head(name);
    format!(
        "{head}\n  resource:\n    host: {host}\n    protocol: HTTPS\n    allowPrivate: true\n    caBundle: |\n{}\n  credentialRef:\n    name: token\n  duration: {duration}\n",
        bundle.join("\n")
    )
}

/// A grant of agent `bot` to an address.
pub fn tcp_grant(name: &str, address: &str, port: u16, duration: &str) -> String {
    let head = grant_head(name);
    format!(
        "{head}\n  resource:\n    host: \"{address}\"\n    port: {port}\n    protocol: TCP\n  duration: {duration}\n"
    )
}

/// The service's token, for one host.
pub fn credential(host: &str) -> String {
    format!(
        "apiVersion: lanyard.dev/v1alpha1\nkind: CredentialSource\nmetadata:\n  name: token\nspec:\n  type: SecretKey\n  secretKey:\n    name: service\n    key: token\n  injection:\n    type: Bearer\n  allowedHosts:\n    - {host}\n"
    )
}

fn grant_head(name: &str) -> String {
    format!(
        "apiVersion: lanyard.dev/v1alpha1\nkind: AccessGrant\nmetadata:\n  name: {name}\nspec:\n  identityRef:\n    name: bot"
    )
}

//! `AccessGrants` and `CredentialSources` to names, as a person writes them.

use anyhow::Result;

use crate::{
    scenes::{Stage, TOOLS},
    service,
};

/// A grant to a name.
pub struct NamedGrant<'a> {
    /// Its name.
    pub name: &'a str,
    /// The agent's.
    pub agent: &'a str,
    /// The name it opens.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// `HTTPS`, `HTTP` or `TCP`.
    pub protocol: &'a str,
    /// More lines of the resource, such as `tls: Passthrough`.
    pub resource: Vec<String>,
    /// PEM of the service's authority, where TLS ends on the way.
    pub authority: Option<&'a str>,
    /// The `CredentialSource`.
    pub credential: Option<&'a str>,
    /// More lines of the spec, such as `maxUses: 3`.
    pub spec: Vec<String>,
}

impl Stage {
    /// The stage, with an agent that is whatever runs in the scope of [`TOOLS`].
    pub fn with_tools() -> Result<Self> {
        let stage = Self::set()?;
        stage.lab.write("manifests/tools.yaml", whoever(TOOLS))?;
        Ok(stage)
    }

    /// A grant of the tools for all of the stage's service, with its token: what is meant otherwise is said in place
    /// of that.
    pub fn grant<'a>(&'a self, name: &'a str) -> NamedGrant<'a> {
        NamedGrant {
            name,
            agent: TOOLS,
            host: service::NAME,
            port: service::TLS_PORT,
            protocol: "HTTPS",
            resource: Vec::new(),
            authority: Some(&self.service.authority),
            credential: Some("token"),
            spec: Vec::new(),
        }
    }

    /// Writes a grant down, as `manifests/NAME-grant.yaml`, and waits until it is live.
    pub fn give(&self, grant: &NamedGrant<'_>) -> Result<()> {
        let name = grant.name;
        let file = format!("manifests/{name}-grant.yaml");
        self.lab.write(&file, grant.yaml())?;
        self.lanyard.until_live(&format!("default/{name}"))
    }
}

impl NamedGrant<'_> {
    /// As a person writes it.
    pub fn yaml(&self) -> String {
        let mut lines = vec![
            "apiVersion: lanyard.dev/v1alpha1".to_owned(),
            "kind: AccessGrant".to_owned(),
            "metadata:".to_owned(),
            format!("  name: {}", self.name),
            "spec:".to_owned(),
            "  duration: 1h".to_owned(),
        ];
        lines.extend(self.spec.iter().map(|line| format!("  {line}")));
        lines.extend([
            "  identityRef:".to_owned(),
            format!("    name: {}", self.agent),
        ]);
        if let Some(credential) = self.credential {
            lines.push("  credentialRef:".to_owned());
            lines.push(format!("    name: {credential}"));
        }
        lines.extend([
            "  resource:".to_owned(),
            format!("    host: {}", self.host),
            format!("    port: {}", self.port),
            format!("    protocol: {}", self.protocol),
            "    allowPrivate: true".to_owned(),
        ]);
        lines.extend(self.resource.iter().map(|line| format!("    {line}")));
        if let Some(authority) = self.authority {
            lines.push("    caBundle: |".to_owned());
            lines.extend(authority.lines().map(|line| format!("      {line}")));
        }
        lines.join("\n") + "\n"
    }
}

/// An `AgentIdentity` that is whatever runs in its scope.
pub fn whoever(name: &str) -> String {
    format!(
        "apiVersion: lanyard.dev/v1alpha1\nkind: AgentIdentity\nmetadata:\n  name: {name}\nspec:\n  workloadSelector:\n    processes: []\n"
    )
}

/// A `CredentialSource` of the stage's token for those hosts; `injection` and `source` are lines of the spec.
pub fn credential(name: &str, source: &[&str], injection: &[&str], hosts: &[&str]) -> String {
    let mut lines = vec![
        "apiVersion: lanyard.dev/v1alpha1".to_owned(),
        "kind: CredentialSource".to_owned(),
        "metadata:".to_owned(),
        format!("  name: {name}"),
        "spec:".to_owned(),
    ];
    lines.extend(source.iter().map(|line| format!("  {line}")));
    lines.push("  injection:".to_owned());
    lines.extend(injection.iter().map(|line| format!("    {line}")));
    lines.push("  allowedHosts:".to_owned());
    lines.extend(hosts.iter().map(|host| format!("    - {host}")));
    lines.join("\n") + "\n"
}

//! What a person writes, as text.

use std::path::Path;

use anyhow::Result;

use crate::agent::sha256;

/// Agent `bot`, which is these programs.
pub fn identity(programs: &[(&str, &Path)]) -> Result<String> {
    let mut lines = vec![
        "apiVersion: lanyard.dev/v1alpha1".to_owned(),
        "kind: AgentIdentity".to_owned(),
        "metadata:".to_owned(),
        "  name: bot".to_owned(),
        "spec:".to_owned(),
        "  workloadSelector:".to_owned(),
        "    processes:".to_owned(),
    ];
    for (name, path) in programs {
        lines.push(format!("    - name: {name}"));
        lines.push("      executable:".to_owned());
        lines.push(format!("        path: {}", path.display()));
        lines.push(format!("        sha256: \"{}\"", sha256(path)?));
    }
    Ok(lines.join("\n"))
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

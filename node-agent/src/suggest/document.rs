//! One grant as a document that people read and `lanyard apply` takes.

use std::fmt::Write as _;

use lanyard_access::{
    evidence::EvidenceLevel, grant::Protocol, host::Host, http::HttpRule, object::ObjectKey,
};
use serde_json::{Value, json};

/// How long a grant lives that nobody chose the time of.
const DURATION: &str = "8h";

/// An `AccessGrant` that could be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantDocument {
    /// Its own name.
    pub key: ObjectKey,
    /// The agent it is for, in the same namespace.
    pub agent: ObjectKey,
    /// What it opens.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// The evidence it demands; the identity's default when absent.
    pub requires: Option<EvidenceLevel>,
    /// Which requests it allows; every one when there are no rules.
    pub http: Vec<HttpRule>,
    /// Whether a name may lead to a private address.
    pub allow_private: bool,
    /// PEM certificates of the service's own authority.
    pub ca_bundle: Option<String>,
    /// The credential that goes into its requests.
    pub credential: Option<ObjectKey>,
    /// What it was made from, a line each.
    pub comments: Vec<String>,
}

impl GrantDocument {
    /// The document. Every value is a checked type, and a comment cannot leave its line.
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        for comment in &self.comments {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# {}", readable(comment));
        }
        let _ = write!(
            text,
            "apiVersion: lanyard.dev/v1alpha1\nkind: AccessGrant\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  identityRef:\n    name: {}\n",
            quoted(self.key.name.as_str()),
            quoted(self.key.namespace.as_str()),
            quoted(self.agent.name.as_str()),
        );
        if let Some(level) = self.requires {
            let _ = writeln!(text, "  requires: {level}");
        }
        let _ = write!(
            text,
            "  resource:\n    host: {}\n    port: {}\n    protocol: {}\n",
            quoted(&self.host.to_string()),
            self.port,
            self.protocol.as_str(),
        );
        if !self.http.is_empty() {
            text += "    http:\n";
        }
        for HttpRule { methods, path } in &self.http {
            let methods: Vec<String> = methods
                .iter()
                .map(|method| quoted(method.as_str()))
                .collect();
            let _ = writeln!(text, "      - methods: [{}]", methods.join(", "));
            if let Some(path) = path {
                // JSON's strings are YAML's too.
                let _ = writeln!(text, "        path: {}", json!(path.to_string()));
            }
        }
        if let Some(bundle) = &self.ca_bundle {
            let _ = writeln!(text, "    caBundle: {}", json!(bundle));
        }
        if self.allow_private {
            text += "    # its name led to a private address\n    allowPrivate: true\n";
        }
        if let Some(ObjectKey { namespace, name }) = &self.credential {
            let (namespace, name) = (quoted(namespace.as_str()), quoted(name.as_str()));
            let _ = writeln!(
                text,
                "  credentialRef:\n    name: {name}\n    namespace: {namespace}"
            );
        }
        text += "  # from when it is first ready; choose what the task needs\n";
        let _ = writeln!(text, "  duration: {DURATION}");
        text
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let mut resource = json!({
            "host": self.host.to_string(),
            "port": self.port,
            "protocol": self.protocol.as_str(),
        });
        if !self.http.is_empty() {
            let rules = self.http.iter().map(|HttpRule { methods, path }| {
                let mut rule = json!({ "methods": methods });
                if let Some(path) = path {
                    rule["path"] = json!(path);
                }
                rule
            });
            resource["http"] = rules.collect();
        }
        if let Some(bundle) = &self.ca_bundle {
            resource["caBundle"] = bundle.as_str().into();
        }
        if self.allow_private {
            resource["allowPrivate"] = true.into();
        }
        let mut spec = json!({
            "identityRef": { "name": self.agent.name.as_str() },
            "resource": resource,
            "duration": DURATION,
        });
        if let Some(ObjectKey { namespace, name }) = &self.credential {
            let (namespace, name) = (namespace.as_str(), name.as_str());
            spec["credentialRef"] = json!({ "name": name, "namespace": namespace });
        }
        if let Some(level) = self.requires {
            spec["requires"] = level.to_string().into();
        }
        json!({
            "apiVersion": "lanyard.dev/v1alpha1",
            "kind": "AccessGrant",
            "metadata": {
                "name": self.key.name.as_str(),
                "namespace": self.key.namespace.as_str(),
            },
            "spec": spec,
        })
    }
}

/// A name of digits is a number without its quotes, and `no` is false.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Text of an agent, which may be hostile, on one line: a line break in a path could begin a document.
pub fn readable(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() && (c.is_ascii() || c.is_alphanumeric());
    text.chars().fold(String::new(), |mut text, c| {
        if is_plain(c) {
            text.push(c);
        } else {
            text.extend(c.escape_default());
        }
        text
    })
}

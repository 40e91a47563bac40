//! The policy of a machine: who may run which agent, what of the machine an agent may use, and where its
//! secrets are.
//!
//! `/etc/lanyard/local.yaml` is read with the same messages as manifests. That it is root's own file is
//! for the one who opens it to check.

mod identity;
mod path;
mod secret;
mod upstream_proxy;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use lanyard_access::{object::ObjectKey, spiffe_id::TrustDomain};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::{
    identity::IdentityPolicy,
    path::{AllowedPath, ParsePathError, SocketPath},
    secret::{SecretKey, SecretPlace},
    upstream_proxy::UpstreamProxy,
};
use crate::{
    field::{FieldError, FieldErrors},
    problem::{Mistake, Position, Problem},
    schema::{BrokenRule, Schema},
    source, yaml,
    yaml::Node,
};

/// The policy of a machine, checked. Without a file, only root may do anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPolicy {
    /// The trust domain of the identities on this machine.
    pub trust_domain: TrustDomain,
    /// Users who may apply, delete and revoke, beside root.
    pub admins: BTreeSet<String>,
    /// What each agent is allowed. An agent that is not here may be run by root alone.
    pub identities: BTreeMap<ObjectKey, IdentityPolicy>,
    /// The lowest version of Landlock's ABI with which an agent is started; 0 when none is demanded.
    pub minimum_landlock: u8,
    /// Where secrets are.
    pub secrets: BTreeMap<SecretKey, SecretPlace>,
    /// The proxy through which services with a name are reached.
    pub upstream_proxy: Option<UpstreamProxy>,
}

/// The file as it is written.
#[derive(JsonSchema, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(default = "default_trust_domain")]
    #[schemars(length(min = 1, max = 255))]
    trust_domain: String,
    #[serde(default)]
    #[schemars(schema_with = "crate::text::account_names")]
    admins: Vec<String>,
    #[serde(default)]
    #[schemars(
        length(max = 1024),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    identities: Vec<identity::Written>,
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    minimum_landlock: u8,
    #[serde(default)]
    #[schemars(
        length(max = 1024),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["secret"])
    )]
    secrets: Vec<secret::Written>,
    #[serde(default)]
    #[schemars(with = "upstream_proxy::Written")]
    upstream_proxy: Option<upstream_proxy::Written>,
}

fn default_trust_domain() -> String {
    "lanyard.local".to_owned()
}

/// Reads a policy file.
pub fn read_file(path: &Path) -> Result<LocalPolicy, Vec<Problem>> {
    let text = source::read_file(path).map_err(|problem| vec![problem])?;
    read_text(&path.display().to_string(), &text)
}

/// Reads a policy from a text of one YAML document. `file` is the name by which problems call it.
pub fn read_text(file: &str, text: &str) -> Result<LocalPolicy, Vec<Problem>> {
    let mut mistakes = Vec::new();
    let policy = match source::check_length(text.len()) {
        Ok(()) => read(text, &mut mistakes),
        Err(mistake) => {
            mistakes.push(mistake);
            None
        }
    };
    match policy {
        Some(policy) if mistakes.is_empty() => Ok(policy),
        _ => {
            mistakes.sort_by_key(|mistake| mistake.at);
            let problems = mistakes.into_iter().map(|mistake| mistake.in_file(file));
            Err(problems.collect())
        }
    }
}

fn read(text: &str, mistakes: &mut Vec<Mistake>) -> Option<LocalPolicy> {
    let mut roots = Vec::new();
    for document in yaml::documents(text) {
        mistakes.extend(document.mistakes);
        roots.extend(document.root);
    }
    match &*roots {
        [root] => read_root(root, mistakes),
        [] if !mistakes.is_empty() => None,
        [] => {
            let mistake = Mistake::new(Position::START, "", "the file says nothing");
            mistakes.push(mistake.allowing("write a policy, or remove the file"));
            None
        }
        [_, second, ..] => {
            let message = "a second document begins here";
            mistakes.push(Mistake::new(second.at, "", message).allowing("write one policy"));
            None
        }
    }
}

fn read_root(root: &Node, mistakes: &mut Vec<Mistake>) -> Option<LocalPolicy> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::of_file::<Written>);
    let value = SCHEMA.read(root, mistakes)?;
    let broken = SCHEMA.broken_rules(&value, None);
    mistakes.extend(
        broken.into_iter().map(|BrokenRule { field, message }| {
            Mistake::new(root.place_of(&field), &field, message)
        }),
    );
    let written: Result<Written, _> = serde_json::from_value(value);
    let written = written
        .map_err(|error| mistakes.push(Mistake::new(root.at, "", error.to_string())))
        .ok()?;
    let errors = match check(written) {
        Ok(policy) => return Some(policy),
        Err(errors) => errors,
    };
    mistakes.extend(
        errors
            .into_iter()
            .map(|FieldError { path, message }| Mistake::new(root.place_of(&path), &path, message)),
    );
    None
}

fn check(written: Written) -> Result<LocalPolicy, Vec<FieldError>> {
    let mut errors = FieldErrors::default();
    let trust_domain = errors.keep("trustDomain", written.trust_domain.parse());
    let identities = identity::check(written.identities, &mut errors);
    let secrets = secret::check(written.secrets, &mut errors);
    let upstream_proxy = written
        .upstream_proxy
        .and_then(|written| upstream_proxy::check(written, &mut errors));
    errors.finish(trust_domain.map(|trust_domain| LocalPolicy {
        trust_domain,
        admins: written.admins.into_iter().collect(),
        identities,
        minimum_landlock: written.minimum_landlock,
        secrets,
        upstream_proxy,
    }))
}

//! The secrets that a broker gets, each for one request or one connection.

use lanyard_access::{credential::CredentialSource, desired::LiveGrant, object::ObjectKey};
use lanyard_protocol::broker::{GetSecret, Secret};

use crate::{
    credentials::{self, Claim, Wanted},
    images::KnownImage,
    kernel::clock::Moment,
    node::{Node, Shared},
    scope::Scope,
};

/// The secret of a grant that this scope's agent has now, for an image of this scope that it is granted to.
pub(super) async fn of_grant(
    node: &Shared,
    scope: u32,
    asked: &GetSecret,
) -> Result<Secret, String> {
    let source = permitted(&node.borrow(), scope, asked)?;
    let held = credentials::obtain(node, &source, asked.refused_version).await;
    let held = held.map_err(|error| error.to_string())?;
    // It may have taken long.
    if permitted(&node.borrow(), scope, asked)? != source {
        return Err("the credential was written anew".to_owned());
    }
    Ok(told(&held))
}

/// What the machine's proxy wants. Whichever scope reaches services through it, it is the machine's.
pub(super) async fn of_proxy(node: &Shared, refused_version: u64) -> Result<Secret, String> {
    let source = {
        let node = node.borrow();
        let proxy = node.credentials.machine_proxy();
        let key = proxy.and_then(|proxy| proxy.secret);
        let key = key.ok_or("this machine has no proxy that wants a secret")?;
        Wanted::Here(CredentialSource::of_machine(key))
    };
    let held = credentials::obtain(node, &source, refused_version).await;
    Ok(told(&held.map_err(|error| error.to_string())?))
}

fn told(held: &credentials::resting::Held) -> Secret {
    let mut secret = Secret::default();
    secret.value = held.reveal().to_vec();
    secret.username = held.username.clone().unwrap_or_default();
    secret.version = held.version;
    secret
}

/// The credential that a grant lets an image use now.
fn permitted(node: &Node, scope: u32, asked: &GetSecret) -> Result<Wanted, String> {
    let known = node.scopes.get(&scope).ok_or("the scope is gone")?;
    let image = node
        .images
        .get(asked.exec_id)
        .filter(|image| image.event.scope == scope);
    let level = image
        .and_then(KnownImage::level)
        .ok_or("the process is not attested")?;
    let agent = node
        .compiler
        .desired()
        .agents
        .get(&known.agent)
        .ok_or("the agent has no grants")?;
    let key: ObjectKey = asked.grant.parse().map_err(|error| format!("{error}"))?;
    let grant = agent
        .grants
        .iter()
        .find(|grant| grant.key == key)
        .ok_or("the grant is not live")?;
    let now = Moment::now();
    let deadline = node
        .deadlines
        .all()
        .get(&(grant.uid.clone(), grant.spec_hash))
        .copied()
        .unwrap_or(0);
    if deadline <= now.boot {
        return Err("the grant has ended".to_owned());
    }
    if level < grant.requires {
        return Err("the process is not known well enough".to_owned());
    }
    wanted(node, known, grant)
}

/// The credential that a grant names: here, if its source is written here, and else of the authority.
fn wanted(node: &Node, scope: &Scope, grant: &LiveGrant) -> Result<Wanted, String> {
    let credential = grant
        .credential
        .as_ref()
        .ok_or("the grant names no credential")?;
    let source = &credential.source;
    if let Some(written) = node.compiler.written().credentials.get(source) {
        return Ok(Wanted::Here(written.clone()));
    }
    let pod = scope.fence.pod().ok_or("the credential is gone")?;
    Ok(Wanted::OfAuthority(Claim {
        source: source.clone(),
        grant: grant.key.clone(),
        grant_uid: grant.uid.clone(),
        pod: pod.uid.clone(),
    }))
}

//! An agent between the wire and the rules.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lanyard_access::{
    desired::{DesiredAgent, LiveGrant},
    digest::Sha256Digest,
    identity::{Enforcement, ProcessAccess},
    object::{ContainerName, ObjectKey, Uid},
    process::{ChildrenRule, ExecutablePath, ProcessSelector, ScriptSelector},
    spiffe_id::SpiffeId,
};

use super::{NodesError, wire};
use crate::granted;

/// An agent as a node has it enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAgent {
    /// What it is and may reach.
    pub desired: DesiredAgent,
    /// What it is called beyond the cluster.
    pub spiffe_id: SpiffeId,
    /// Containers of its pods that are not the agent.
    pub exempt_containers: BTreeSet<ContainerName>,
}

impl NodeAgent {
    /// The agent as it is sent.
    pub fn encode(&self) -> wire::Agent {
        let desired = &self.desired;
        wire::Agent {
            key: desired.key.to_string(),
            uid: desired.uid.to_string(),
            spiffe_id: self.spiffe_id.to_string(),
            processes: desired.processes.iter().map(encode_process).collect(),
            enforcement: match desired.enforcement {
                Enforcement::Enforce => wire::Enforcement::Enforce,
                Enforcement::Observe => wire::Enforcement::Observe,
            }
            .into(),
            process_access: match desired.process_access {
                ProcessAccess::None => wire::ProcessAccess::None,
                ProcessAccess::Debug => wire::ProcessAccess::Debug,
            }
            .into(),
            grants: desired.grants.iter().map(encode_grant).collect(),
            exempt_containers: encode_containers(&self.exempt_containers),
        }
    }

    /// The agent as it was sent.
    pub fn decode(agent: wire::Agent) -> Result<Self, NodesError> {
        let enforcement = match wire::Enforcement::try_from(agent.enforcement) {
            Ok(wire::Enforcement::Enforce) => Enforcement::Enforce,
            Ok(wire::Enforcement::Observe) => Enforcement::Observe,
            Ok(wire::Enforcement::Unspecified) | Err(_) => {
                return Err(NodesError::Field("agent's enforcement"));
            }
        };
        let process_access = match wire::ProcessAccess::try_from(agent.process_access) {
            Ok(wire::ProcessAccess::None) => ProcessAccess::None,
            Ok(wire::ProcessAccess::Debug) => ProcessAccess::Debug,
            Ok(wire::ProcessAccess::Unspecified) | Err(_) => {
                return Err(NodesError::Field("access to the agent's processes"));
            }
        };
        let key: ObjectKey =
            (agent.key.parse()).map_err(|error| NodesError::Key(error, "agent"))?;
        let processes = agent.processes.into_iter().map(decode_process);
        let processes = processes.collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<_> = processes.iter().map(|process| &process.name).collect();
        if names.len() != processes.len() {
            return Err(NodesError::Order("agent's processes"));
        }
        let grants = agent
            .grants
            .into_iter()
            .map(|grant| decode_grant(&key, grant));
        let grants = grants.collect::<Result<Vec<_>, _>>()?;
        if !grants.is_sorted_by(|one, next| one.key < next.key) {
            return Err(NodesError::Order("agent's grants"));
        }
        Ok(Self {
            spiffe_id: agent.spiffe_id.parse().map_err(NodesError::SpiffeId)?,
            exempt_containers: decode_containers(agent.exempt_containers)?,
            desired: DesiredAgent {
                key,
                uid: decode_uid(agent.uid, "agent's uid")?,
                processes,
                enforcement,
                process_access,
                grants,
            },
        })
    }
}

/// Without a uid two lives of one name would be the same.
pub(super) fn decode_uid(uid: String, what: &'static str) -> Result<Uid, NodesError> {
    if uid.is_empty() {
        return Err(NodesError::Field(what));
    }
    Ok(Uid::new(uid))
}

pub(super) fn encode_containers(names: &BTreeSet<ContainerName>) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

pub(super) fn decode_containers(names: Vec<String>) -> Result<BTreeSet<ContainerName>, NodesError> {
    let names = names.into_iter().map(|name| {
        let name = name.parse::<ContainerName>();
        name.map_err(|error| NodesError::Name(error, "name of a container"))
    });
    names.collect()
}

/// An end that no 64 bits hold comes earlier.
fn encode_grant(grant: &LiveGrant) -> wire::Grant {
    let nanos = grant.ends_at.as_nanosecond().max(0);
    wire::Grant {
        grant: Some(granted::encode(grant, 0)),
        ends_at_unix_ns: u64::try_from(nanos).unwrap_or(u64::MAX),
    }
}

fn decode_grant(agent: &ObjectKey, grant: wire::Grant) -> Result<LiveGrant, NodesError> {
    let inner = grant.grant.ok_or(NodesError::Field("grant"))?;
    let inner = granted::decode(inner).map_err(|error| NodesError::Grant {
        agent: agent.clone(),
        error,
    })?;
    if inner.key.namespace != agent.namespace {
        return Err(NodesError::Field("grant in the agent's namespace"));
    }
    let ends_at = Timestamp::from_nanosecond(i128::from(grant.ends_at_unix_ns));
    Ok(LiveGrant {
        ends_at: ends_at.map_err(|_| NodesError::Field("end of a grant"))?,
        ..inner
    })
}

fn encode_process(process: &ProcessSelector) -> wire::Process {
    wire::Process {
        name: process.name.to_string(),
        file: Some(encode_file(&process.path, &process.sha256)),
        script: (process.script.as_ref()).map(|script| encode_file(&script.path, &script.sha256)),
        children: match process.children {
            ChildrenRule::None => wire::Children::None,
            ChildrenRule::Listed => wire::Children::Listed,
            ChildrenRule::Inherit => wire::Children::Inherit,
        }
        .into(),
    }
}

fn decode_process(process: wire::Process) -> Result<ProcessSelector, NodesError> {
    let children = match wire::Children::try_from(process.children) {
        Ok(wire::Children::None) => ChildrenRule::None,
        Ok(wire::Children::Listed) => ChildrenRule::Listed,
        Ok(wire::Children::Inherit) => ChildrenRule::Inherit,
        Ok(wire::Children::Unspecified) | Err(_) => {
            return Err(NodesError::Field("rule for a process's children"));
        }
    };
    let name = process.name.parse();
    let (path, sha256) = decode_file(process.file.ok_or(NodesError::Field("listed file"))?)?;
    let script = process.script.map(decode_file).transpose()?;
    Ok(ProcessSelector {
        name: name.map_err(|error| NodesError::Name(error, "name of a process"))?,
        path,
        sha256,
        script: script.map(|(path, sha256)| ScriptSelector { path, sha256 }),
        children,
    })
}

fn encode_file(path: &ExecutablePath, sha256: &Sha256Digest) -> wire::File {
    wire::File {
        path: path.to_string(),
        sha256: sha256.as_bytes().to_vec(),
    }
}

fn decode_file(file: wire::File) -> Result<(ExecutablePath, Sha256Digest), NodesError> {
    let path = file.path.parse().map_err(NodesError::Path)?;
    let sha256 = <[u8; 32]>::try_from(file.sha256);
    let sha256 = sha256.map_err(|_| NodesError::Field("digest of a listed file"))?;
    Ok((path, Sha256Digest::new(sha256)))
}

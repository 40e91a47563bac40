//! `AgentIdentity`: who an agent is.

mod process;
pub mod status;

use kube::CustomResource;
use lanyard_access::{identity::Identity, object::Uid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    process::{Executable, ProcessRule},
    status::AgentIdentityStatus,
};
use crate::{
    field::{FieldError, FieldErrors},
    metadata::key_of,
};

/// Which running processes are the agent.
#[derive(CustomResource, JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "lanyard.dev",
    version = "v1alpha1",
    kind = "AgentIdentity",
    plural = "agentidentities",
    shortname = "agid",
    category = "lanyard",
    namespaced,
    status = "AgentIdentityStatus",
    derive = "PartialEq",
    cel,
    doc = "An AgentIdentity says which running processes are one agent. AccessGrants name it; a process that it does not describe is not the agent, whoever started it.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"SPIFFE-ID","type":"string","jsonPath":".status.spiffeID"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentIdentitySpec {
    /// What a process must be to be this agent.
    pub workload_selector: WorkloadSelector,
}

/// What a process must be to be this agent. All that is given must match.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSelector {
    /// The executed files that are this agent, from 1 to 64. A process that executes one of them is
    /// the agent, with the level of evidence `Image`; no other process is.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub processes: Vec<ProcessRule>,
}

impl AgentIdentity {
    /// The checked form, or everything that is wrong with the object.
    pub fn check(&self, uid: Uid) -> Result<Identity, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let key = key_of(&self.metadata, &mut errors);
        let processes = process::check(
            &self.spec.workload_selector.processes,
            "spec.workloadSelector.processes",
            &mut errors,
        );
        errors.finish(key.map(|key| Identity {
            key,
            uid,
            processes,
        }))
    }
}

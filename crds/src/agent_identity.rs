//! `AgentIdentity`: who an agent is.

mod enforcement;
mod process;
pub mod status;

use kube::CustomResource;
use lanyard_access::{identity::Identity, object::Uid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    enforcement::{Enforcement, ProcessAccess},
    process::{Children, Executable, ProcessRule, Script},
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
    doc = "An AgentIdentity says which running processes are one agent, and how well each of them is known. AccessGrants name it and say how well a process must be known to use them.",
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"SPIFFE-ID","type":"string","jsonPath":".status.spiffeID"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentIdentitySpec {
    /// What a process must be to be this agent.
    pub workload_selector: WorkloadSelector,
    /// Whether what no grant opens is refused. `Enforce`: it is. `Observe`: nothing is refused to the
    /// agent, neither connections nor files; what would have been refused is recorded, and
    /// `lanyard suggest` writes the grants that would cover it.
    #[serde(default)]
    pub enforcement: Enforcement,
    /// Whether processes of the agent may be traced, as debuggers do. `None`: they cannot trace each other,
    /// and one that is traced from outside has no identity. `Debug`: they can trace each other, and a
    /// process that is traced has at most the level of evidence `Scope`.
    #[serde(default)]
    pub process_access: ProcessAccess,
}

/// What a process must be to be this agent. All that is given must match.
#[derive(JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSelector {
    /// The executed files that are this agent, at most 64. A process that executes one of them has the
    /// level of evidence `Image`; the others of the agent's scope have `Lineage` or `Scope`, and can use
    /// only grants that demand no more. Without a list the scope alone is the evidence: every process in
    /// it has `Scope`, and a grant that demands more gives nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
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
            enforcement: self.spec.enforcement.into(),
            process_access: self.spec.process_access.into(),
        }))
    }
}

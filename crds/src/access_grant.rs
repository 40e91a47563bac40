//! `AccessGrant`: one time-bound permission.

mod condition;
mod evidence;
mod host;
mod http;
mod justification;
mod lifetime;
mod mcp;
mod reference;
mod resource;
pub mod status;

use std::num::NonZeroU64;

use jiff::Timestamp;
use kube::CustomResource;
use lanyard_access::{
    grant::{Asked, Grant, Limits},
    object::{ObjectKey, Uid},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    evidence::Evidence,
    http::HttpRule,
    justification::Justification,
    mcp::McpRule,
    reference::{CredentialRef, IdentityRef},
    resource::{Protocol, Resource, Tls},
    status::AccessGrantStatus,
};
use crate::{
    field::{FieldError, FieldErrors},
    metadata::key_of,
    rule::{fixed_option, rule, rule_of},
    spec_hash::spec_hash,
    text::{MOST_BYTES, MOST_USES},
};

/// Which agent may reach what, and until when. To change more than `justification` and `revoked`,
/// write a new AccessGrant.
#[derive(CustomResource, JsonSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "lanyard.dev",
    version = "v1alpha1",
    kind = "AccessGrant",
    plural = "accessgrants",
    shortname = "agrant",
    category = "lanyard",
    namespaced,
    status = "AccessGrantStatus",
    derive = "PartialEq",
    cel,
    doc = "An AccessGrant lets one agent reach one service until a time that is fixed in advance. Deleting it, or setting `revoked`, ends the access at once.",
    printcolumn = r#"{"name":"Identity","type":"string","jsonPath":".spec.identityRef.name"}"#,
    printcolumn = r#"{"name":"Host","type":"string","jsonPath":".spec.resource.host"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".status.expiresAt"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct AccessGrantSpec {
    /// The agent that is granted to.
    pub identity_ref: IdentityRef,
    /// The evidence that Lanyard must have of a process before it may use this grant. `Image`: the very
    /// file that the process executes is listed in the AgentIdentity, and nothing in its environment
    /// changes what it runs. `Lineage`: that, or it descends from such a process by its `children` rule.
    /// `Scope`: any process of the agent's scope, which is what `lanyard run` starts and all that this
    /// starts in turn. Without it, the best that the AgentIdentity can give: `Image` when it lists
    /// processes, else `Scope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Evidence")]
    pub requires: Option<Evidence>,
    /// The service that may be reached.
    pub resource: Resource,
    /// The credential that Lanyard puts into the agent's requests on their way to the service. The
    /// agent itself never has it. Only with the protocols HTTPS and MCP where Lanyard ends TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CredentialRef")]
    pub credential_ref: Option<CredentialRef>,
    /// How many requests may be made under the grant, by all processes of the agent together: from 1 to
    /// 1000000000. A request counts when it is allowed, whatever becomes of it. With the protocols HTTPS, HTTP
    /// and MCP where Lanyard sees requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::uses")]
    pub max_uses: Option<i64>,
    /// How many bytes of bodies may be carried under the grant, in both directions together: from 1 to
    /// 1000000000000000. What would be more is cut. With the protocols HTTPS, HTTP and MCP where Lanyard
    /// sees requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::bytes")]
    pub max_bytes: Option<i64>,
    /// How long the grant lives, counted from when it is first ready: from 1s to 8784h, with
    /// the units h, m, s and ms, for example 30s, 10m or 1h30m. It never starts again. Exactly one
    /// of duration and notAfter must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::duration")]
    pub duration: Option<String>,
    /// When the grant ends (RFC 3339), for example 2026-11-30T18:00:00Z. Exactly one of
    /// duration and notAfter must be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::timestamp")]
    pub not_after: Option<String>,
    /// When the grant begins (RFC 3339). Without it, the grant begins as soon as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::text::timestamp")]
    pub not_before: Option<String>,
    /// Why the access is needed, for those who approve it and those who read the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Justification")]
    pub justification: Option<Justification>,
    /// Set it to true to end the access now and for good. It cannot be set back.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-validations" = [one_way()]))]
    pub revoked: bool,
}

/// The annotation of a grant that was asked for: whether that was approved. With anything else in it than
/// [`APPROVED`] the grant gives nothing.
pub const DECISION: &str = "lanyard.dev/decision";
/// Not decided yet.
pub const PENDING: &str = "Pending";
/// Yes.
pub const APPROVED: &str = "Approved";
/// No.
pub const REJECTED: &str = "Rejected";
/// The annotation that says who asked for a grant.
pub const REQUESTED_BY: &str = "lanyard.dev/requested-by";
/// The annotation that says who decided.
pub const DECIDED_BY: &str = "lanyard.dev/decided-by";
/// The annotation that says why they decided so.
pub const DECIDED_BECAUSE: &str = "lanyard.dev/decided-because";
/// The annotations that are read.
pub(crate) const ANNOTATIONS: [&str; 4] = [DECISION, REQUESTED_BY, DECIDED_BY, DECIDED_BECAUSE];

const ONE_END: &str = "exactly one of duration and notAfter must be set: duration counts from when the grant is first ready, notAfter is a fixed time";
const NO_TIME: &str = "must be later than notBefore: the grant would end before it begins";
const NO_CREDENTIAL: &str = "is only for the protocols HTTPS and MCP, and not with `tls: Passthrough`: a credential is put into requests that Lanyard sees, and never sent in the clear";

fn rules() -> [Value; 12] {
    [
        rule_of(
            "duration",
            "has(self.duration) != has(self.notAfter)",
            ONE_END,
        ),
        rule_of(
            "notAfter",
            "!has(self.notBefore) || !has(self.notAfter) || self.notBefore < self.notAfter",
            NO_TIME,
        ),
        rule_of(
            "credentialRef",
            "!has(self.credentialRef) || (self.resource.protocol in ['HTTPS', 'MCP'] && (!has(self.resource.tls) || self.resource.tls == 'Terminate'))",
            NO_CREDENTIAL,
        ),
        rule_of("maxUses", &sees_requests("maxUses"), NO_COUNTING),
        rule_of("maxBytes", &sees_requests("maxBytes"), NO_COUNTING),
        fixed_option("maxUses"),
        fixed_option("maxBytes"),
        fixed_option("requires"),
        fixed_option("credentialRef"),
        fixed_option("duration"),
        fixed_option("notAfter"),
        fixed_option("notBefore"),
    ]
}

const NO_COUNTING: &str = "is only for the protocols HTTPS, HTTP and MCP, and not with `tls: Passthrough`: Lanyard counts what it sees";

fn sees_requests(field: &str) -> String {
    format!(
        "!has(self.{field}) || (self.resource.protocol in ['HTTPS', 'HTTP', 'MCP'] && (!has(self.resource.tls) || self.resource.tls == 'Terminate'))"
    )
}

fn one_way() -> Value {
    rule(
        "self || !oldSelf",
        "cannot be set back to false: a revoked grant stays revoked; write a new AccessGrant",
    )
}

impl AccessGrant {
    /// The checked form, or everything that is wrong with the object.
    ///
    /// `activated_at` is when this life and spec of the grant was first ready, if it ever was.
    pub fn check(
        &self,
        uid: Uid,
        activated_at: Option<Timestamp>,
    ) -> Result<Grant, Vec<FieldError>> {
        let mut errors = FieldErrors::default();
        let spec = &self.spec;
        let key = key_of(&self.metadata, &mut errors);
        let identity = errors.keep("spec.identityRef.name", spec.identity_ref.name.parse());
        let resource = spec.resource.check("spec.resource", &mut errors);
        let lifetime = lifetime::check(spec, &mut errors);
        let not_before = lifetime::check_beginning(spec, &mut errors);
        let credential = self.check_credential(key.as_ref(), &mut errors);
        let limits = self.check_limits(&mut errors);
        let spec_hash = errors.keep("spec", spec_hash(spec));
        let checked = || {
            let key = key?;
            Some(Grant {
                identity: ObjectKey {
                    namespace: key.namespace.clone(),
                    name: identity?,
                },
                key,
                uid,
                spec_hash: spec_hash?,
                requires: spec.requires.map(Evidence::level),
                resource: resource?,
                credential,
                limits,
                lifetime: lifetime?,
                not_before,
                activated_at,
                revoked: spec.revoked,
                asked: self.asked(),
            })
        };
        let checked = checked();
        errors.finish(checked)
    }

    /// What the object says was said to the request that it is. It only ever takes access away, so that it
    /// matters little who writes it.
    fn asked(&self) -> Option<Asked> {
        let decision = self.metadata.annotations.as_ref()?.get(DECISION)?;
        match decision.as_str() {
            APPROVED => None,
            REJECTED => Some(Asked::Rejected),
            _ => Some(Asked::Undecided),
        }
    }

    fn check_limits(&self, errors: &mut FieldErrors) -> Limits {
        let spec = &self.spec;
        let counts = spec.resource.sees_requests();
        let mut check = |field: &str, written: Option<i64>, most: u64| {
            let written = written?;
            if !counts {
                errors.add(format!("spec.{field}"), NO_COUNTING);
            }
            let number = u64::try_from(written).ok().and_then(NonZeroU64::new);
            let number = number.filter(|number| number.get() <= most);
            if number.is_none() {
                errors.add(format!("spec.{field}"), format!("is not from 1 to {most}"));
            }
            number
        };
        Limits {
            uses: check("maxUses", spec.max_uses, MOST_USES),
            bytes: check("maxBytes", spec.max_bytes, MOST_BYTES),
        }
    }

    fn check_credential(
        &self,
        key: Option<&ObjectKey>,
        errors: &mut FieldErrors,
    ) -> Option<ObjectKey> {
        let reference = self.spec.credential_ref.as_ref()?;
        let resource = &self.spec.resource;
        if !resource.ends_tls() {
            errors.add("spec.credentialRef", NO_CREDENTIAL);
        }
        reference.check(key.map(|key| &key.namespace), "spec.credentialRef", errors)
    }
}

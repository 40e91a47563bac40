//! Small objects for tests: each is valid and open, and a test changes what it is about.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::{
    approval::{Approval, Verdict},
    compile::Written,
    credential::{Consumers, CredentialSource, Injection, Source},
    digest::Sha256Digest,
    grant::{self, Grant, Protocol, Resource, Tls},
    host::Host,
    identity::{Enforcement, Identity, ProcessAccess},
    lifetime::{GrantDuration, Lifetime},
    mcp::McpRule,
    object::{ObjectKey, Uid},
    policy::{ApprovalRule, Effect, Limits, Policy},
    port::Port,
    process::{ChildrenRule, ProcessSelector},
};

/// So many minutes after noon of a day.
pub(crate) fn at(minutes: i64) -> Timestamp {
    let noon: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    noon + SignedDuration::from_mins(minutes)
}

pub(crate) fn minutes(minutes: u64) -> GrantDuration {
    GrantDuration::new(std::time::Duration::from_mins(minutes)).unwrap()
}

pub(crate) fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

pub(crate) fn host(text: &str) -> Host {
    text.parse().unwrap()
}

pub(crate) fn port(number: i64) -> Port {
    Port::new(number).unwrap()
}

pub(crate) fn spec(number: u8) -> Sha256Digest {
    Sha256Digest::new([number; 32])
}

/// An identity of one process.
pub(crate) fn identity(name: &str) -> Identity {
    Identity {
        key: key(name),
        uid: Uid::new(format!("uid of {name}")),
        processes: vec![ProcessSelector {
            name: "main".parse().unwrap(),
            path: "/usr/bin/curl".parse().unwrap(),
            sha256: spec(0),
            script: None,
            children: ChildrenRule::None,
        }],
        enforcement: Enforcement::Enforce,
        process_access: ProcessAccess::None,
    }
}

/// HTTPS to `api.example.com` for ten minutes, without a credential.
pub(crate) fn grant(name: &str, identity: &str) -> Grant {
    Grant {
        key: key(name),
        uid: Uid::new(format!("uid of {name}")),
        spec_hash: spec(1),
        identity: key(identity),
        requires: None,
        resource: resource("api.example.com", Protocol::Https),
        credential: None,
        limits: grant::Limits::default(),
        lifetime: Lifetime::For(minutes(10)),
        not_before: None,
        activated_at: None,
        revoked: false,
        asked: None,
    }
}

pub(crate) fn resource(name: &str, protocol: Protocol) -> Resource {
    Resource {
        host: host(name),
        port: port(443),
        protocol,
        tls: Tls::Terminate,
        http: Vec::new(),
        mcp: McpRule::default(),
        conditions: Vec::new(),
        allow_private: false,
        ca_bundle: None,
    }
}

/// A token for `api.example.com` and every identity of its own namespace.
pub(crate) fn credential(name: &str) -> CredentialSource {
    CredentialSource {
        key: key(name),
        uid: Uid::new(format!("uid of {name}")),
        allowed_hosts: BTreeSet::from(["api.example.com".parse().unwrap()]),
        consumers: Consumers {
            namespaces: BTreeSet::new(),
            identities: BTreeSet::new(),
        },
        source: Source::SecretKey {
            name: "token".parse().unwrap(),
            key: "value".to_owned(),
        },
        injection: Injection::Bearer,
    }
}

/// A policy for every grant.
pub(crate) fn policy(name: &str, effect: Effect) -> Policy {
    Policy {
        name: name.parse().unwrap(),
        namespaces: BTreeSet::new(),
        hosts: BTreeSet::new(),
        effect,
    }
}

/// So many people must approve, and each approval counts so many minutes.
pub(crate) fn approvals_needed(count: u32, valid_minutes: u64) -> Effect {
    Effect::Limit(Limits {
        max_duration: None,
        approval: Some(ApprovalRule {
            count,
            valid_for: minutes(valid_minutes),
        }),
    })
}

pub(crate) fn at_most(max_minutes: u64) -> Effect {
    Effect::Limit(Limits {
        max_duration: Some(minutes(max_minutes)),
        approval: None,
    })
}

/// A yes of `approver` to `grant` as it is.
pub(crate) fn approval(grant: &Grant, approver: &str, decided_at: Timestamp) -> Approval {
    let namespace = &grant.key.namespace;
    let name = format!("{}-{approver}-{}", grant.key.name, decided_at.as_second());
    Approval {
        key: key(&format!("{namespace}/{name}")),
        grant: grant.key.clone(),
        grant_uid: grant.uid.clone(),
        spec_hash: grant.spec_hash,
        approver: approver.to_owned(),
        verdict: Verdict::Approve,
        decided_at,
    }
}

impl Written {
    pub(crate) fn with_identity(mut self, identity: Identity) -> Self {
        self.identities.insert(identity.key.clone(), identity);
        self
    }

    pub(crate) fn with_grant(mut self, grant: Grant) -> Self {
        self.grants.insert(grant.key.clone(), grant);
        self
    }

    pub(crate) fn with_credential(mut self, credential: CredentialSource) -> Self {
        self.credentials.insert(credential.key.clone(), credential);
        self
    }

    pub(crate) fn with_policy(mut self, policy: Policy) -> Self {
        self.policies.insert(policy.name.clone(), policy);
        self
    }

    pub(crate) fn with_approval(mut self, approval: Approval) -> Self {
        self.approvals.insert(approval.key.clone(), approval);
        self
    }
}

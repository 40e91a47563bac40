//! Worlds small enough that their objects meet: few names, few hosts, one hour.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use jiff::Timestamp;
use proptest::{collection, option, prelude::*, sample::select};

use crate::{
    approval::{Approval, Verdict},
    compile::{Change, Compiler, Written},
    decide::{Asks, Decision, Request, decide},
    desired::DesiredAgent,
    digest::Sha256Digest,
    evidence::EvidenceLevel,
    grant::{Grant, Protocol},
    host::Host,
    identity::Identity,
    lifetime::Lifetime,
    object::{ObjectKey, Uid},
    policy::{ApprovalRule, Effect, Limits, Policy},
    sample::{self, at, key, minutes},
};

pub(super) const HOUR: Range<i64> = 0..60;
const HOSTS: [&str; 3] = ["api.example.com", "10.0.0.1", "10.0.0.0/8"];
const GRANTS: [&str; 4] = ["a/g", "a/h", "a/i", "b/g"];
const AGENTS: [&str; 3] = ["a/x", "a/y", "b/x"];

/// One thing that somebody does, made into a [`Change`] once it is known what is written by then.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Box<Change>),
    /// Writes a grant as it stands, without the moment it was first ready; or with another uid.
    WriteAgain(ObjectKey, Option<Uid>),
    /// Decides on a grant as it stands.
    Decide(ObjectKey, &'static str, Verdict, i64),
    /// Deletes the approval of this number.
    Undecide(usize),
}

impl Step {
    /// What changes, if the grant it is about exists.
    pub(super) fn change(self, written: &Written) -> Option<Change> {
        match self {
            Self::Write(change) => Some(*change),
            Self::WriteAgain(key, uid) => {
                let mut grant = written.grants.get(&key)?.clone();
                grant.activated_at = None;
                grant.uid = uid.unwrap_or(grant.uid);
                Some(Change::Grant(key, Some(grant)))
            }
            Self::Decide(key, who, verdict, minute) => {
                let grant = written.grants.get(&key)?;
                let approval = Approval {
                    verdict,
                    ..sample::approval(grant, who, at(minute))
                };
                Some(Change::Approval(approval.key.clone(), Some(approval)))
            }
            Self::Undecide(number) => {
                let key = written.approvals.keys().cycle().nth(number)?;
                Some(Change::Approval(key.clone(), None))
            }
        }
    }
}

fn write(change: Change) -> Step {
    Step::Write(Box::new(change))
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => any_change_of_agent().prop_map(write),
        6 => any_grant().prop_map(|grant| write(Change::Grant(grant.key.clone(), Some(grant)))),
        1 => any_grant_key().prop_map(|key| write(Change::Grant(key, None))),
        2 => any_rewrite(),
        2 => any_policy().prop_map(|policy| write(Change::Policy(policy.name.clone(), Some(policy)))),
        1 => any_policy().prop_map(|policy| write(Change::Policy(policy.name, None))),
        2 => any_change_of_credential().prop_map(write),
        4 => any_decision(),
        1 => (0..4_usize).prop_map(Step::Undecide),
    ]
}

fn any_rewrite() -> impl Strategy<Value = Step> {
    let uid = option::weighted(0.2, select(vec![Uid::new("1"), Uid::new("2")]));
    (any_grant_key(), uid).prop_map(|(key, uid)| Step::WriteAgain(key, uid))
}

fn any_decision() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![9 => Just(Verdict::Approve), 1 => Just(Verdict::Reject)];
    (any_grant_key(), select(vec!["ann", "bob"]), verdict, HOUR)
        .prop_map(|(key, who, verdict, minute)| Step::Decide(key, who, verdict, minute))
}

/// A world: every agent is there, and then somebody did up to 24 things.
pub(super) fn any_written() -> impl Strategy<Value = Written> {
    collection::vec(any_step(), 4..24).prop_map(|steps| {
        let mut compiler = everyone();
        take_all(&mut compiler, steps);
        compiler.written().clone()
    })
}

/// A compiler that knows every agent and nothing else.
pub(super) fn everyone() -> Compiler {
    let mut compiler = Compiler::default();
    let written = AGENTS.iter().fold(Written::default(), |written, agent| {
        written.with_identity(sample::identity(agent))
    });
    compiler.replace(written.with_credential(sample::credential("a/c")));
    compiler
}

pub(super) fn take_all(compiler: &mut Compiler, steps: impl IntoIterator<Item = Step>) {
    for step in steps {
        if let Some(change) = step.change(compiler.written()) {
            compiler.apply(change);
        }
    }
}

fn any_key(of: &[&str]) -> impl Strategy<Value = ObjectKey> + use<> {
    select(of.iter().map(|text| key(text)).collect::<Vec<_>>())
}

pub(super) fn any_grant_key() -> impl Strategy<Value = ObjectKey> {
    any_key(&GRANTS)
}

fn any_change_of_agent() -> impl Strategy<Value = Change> {
    let identity = (any_key(&AGENTS), any::<bool>()).prop_map(|(key, lists_processes)| {
        let mut identity: Identity = sample::identity(&key.to_string());
        if !lists_processes {
            identity.processes.clear();
        }
        Change::Identity(key, Some(identity))
    });
    let gone = any_key(&AGENTS).prop_map(|key| Change::Identity(key, None));
    prop_oneof![4 => identity, 1 => gone]
}

fn any_change_of_credential() -> impl Strategy<Value = Change> {
    (any_key(&["a/c", "b/c"]), 0..4).prop_map(|(key, kind)| {
        let mut credential = sample::credential(&key.to_string());
        match kind {
            0 => return Change::Credential(key, None),
            1 => credential.allowed_hosts.clear(),
            2 => credential.consumers.identities = ["y".parse().unwrap()].into(),
            _ => (),
        }
        Change::Credential(key, Some(credential))
    })
}

pub(super) fn any_grant() -> impl Strategy<Value = Grant> {
    let lifetime = prop_oneof![
        select(vec![5, 10, 30]).prop_map(|minute| Lifetime::For(minutes(minute))),
        HOUR.prop_map(|minute| Lifetime::Until(at(minute))),
    ];
    (
        any_grant_key(),
        prop_oneof![4 => select(vec!["x", "y"]), 1 => Just("z")],
        option::of(select(EvidenceLevel::ALL.to_vec())),
        select(HOSTS.to_vec()),
        option::weighted(0.2, any_key(&["a/c", "b/c"])),
        lifetime,
        option::weighted(0.2, HOUR.prop_map(at)),
        proptest::bool::weighted(0.05),
    )
        .prop_map(
            |(key, agent, requires, host, credential, lifetime, not_before, revoked)| {
                let agent = format!("{}/{agent}", key.namespace);
                let mut grant = Grant {
                    requires,
                    credential,
                    lifetime,
                    not_before,
                    revoked,
                    ..sample::grant(&key.to_string(), &agent)
                };
                grant.resource = sample::resource(host, protocol_of(host));
                grant.spec_hash = hash_of(&grant);
                grant
            },
        )
}

fn protocol_of(host: &str) -> Protocol {
    match sample::host(host) {
        Host::Name(_) => Protocol::Https,
        Host::Address(_) | Host::Network(_) => Protocol::Tcp,
    }
}

/// Another spec, another hash; what is no part of the spec is left out.
fn hash_of(grant: &Grant) -> Sha256Digest {
    let mut spec = grant.clone();
    spec.uid = Uid::new("");
    let mut hasher = DefaultHasher::new();
    format!("{spec:?}").hash(&mut hasher);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    Sha256Digest::new(bytes)
}

pub(super) fn any_policy() -> impl Strategy<Value = Policy> {
    let minute = || select(vec![3, 8, 20]).prop_map(minutes);
    let rule =
        (0..3_u32, minute()).prop_map(|(count, valid_for)| ApprovalRule { count, valid_for });
    let limits = (option::of(minute()), option::of(rule));
    let limits = limits.prop_map(|(max_duration, approval)| {
        Effect::Limit(Limits {
            max_duration,
            approval,
        })
    });
    (
        select(vec!["p", "q"]),
        option::of(select(vec!["a", "b"])),
        option::of(select(HOSTS.to_vec())),
        prop_oneof![1 => Just(Effect::Deny), 9 => limits],
    )
        .prop_map(|(name, namespace, host, effect)| Policy {
            namespaces: namespace.into_iter().map(|n| n.parse().unwrap()).collect(),
            hosts: host.into_iter().map(sample::host).collect(),
            ..sample::policy(name, effect)
        })
}

/// Every request that any grant of such a world could be about, and its answer at `now`.
pub(super) fn answers(agent: &DesiredAgent, now: Timestamp) -> Vec<Decision<'_>> {
    let hosts = HOSTS.map(sample::host);
    let requests = hosts.iter().flat_map(|host| {
        let protocols = [Protocol::Https, Protocol::Tcp].into_iter();
        protocols.flat_map(move |protocol| {
            EvidenceLevel::ALL.map(|level| Request {
                level,
                host,
                port: sample::port(443),
                asks: Asks::Protocol(protocol),
            })
        })
    });
    requests
        .map(|request| decide(agent, &request, now))
        .collect()
}

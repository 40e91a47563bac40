//! Everything that is written, and what follows from it for each node.

mod grants;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use lanyard_access::{
    compile::{Change, Compiler},
    desired::{DesiredAgent, GrantStanding, LiveGrant},
    grant::Grant,
    object::{ObjectKey, ObjectName, Uid},
    policy::Effect,
    spiffe_id::{SpiffeId, TrustDomain},
};
use lanyard_crds::{
    agent_identity::{AgentIdentity, status::AgentIdentityStatus},
    credential_source::{CredentialSource, status::CredentialSourceStatus},
    field::FieldError,
    kind::Kind,
};
use lanyard_protocol::nodes::NodeAgent;

use super::{
    input::{Input, Moment, each},
    known::{Known, KnownGrant, life_of, metadata_of},
    pods::{self, Pods, Touched},
    reviews::Reviews,
    view::View,
    writes::Subject,
};

/// What a change touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Nodes that have to know.
    pub nodes: BTreeSet<ObjectName>,
    /// Objects whose status may say something else.
    pub subjects: BTreeSet<Subject>,
}

/// Everything that is written.
#[derive(Debug)]
pub struct World {
    pub(super) trust_domain: TrustDomain,
    compiler: Compiler,
    pub(super) identities: BTreeMap<ObjectKey, Known<AgentIdentityStatus>>,
    pub(super) grants: BTreeMap<ObjectKey, KnownGrant>,
    pub(super) credentials: BTreeMap<ObjectKey, Known<CredentialSourceStatus>>,
    checked: BTreeMap<ObjectKey, Grant>,
    decided: BTreeSet<ObjectKey>,
    pub(super) pods: Pods,
    pub(super) reviews: Reviews,
    served: BTreeMap<ObjectKey, Arc<NodeAgent>>,
    stale: BTreeSet<ObjectKey>,
    changed: Changed,
}

impl World {
    /// Nothing is written yet.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            compiler: Compiler::default(),
            identities: BTreeMap::new(),
            grants: BTreeMap::new(),
            credentials: BTreeMap::new(),
            checked: BTreeMap::new(),
            decided: BTreeSet::new(),
            pods: Pods::default(),
            reviews: Reviews::default(),
            served: BTreeMap::new(),
            stale: BTreeSet::new(),
            changed: Changed::default(),
        }
    }

    /// Notes what was heard. Nothing follows before [`Self::compile`].
    pub fn apply(&mut self, input: Input, at: Moment) {
        match input {
            Input::Identities(seen) => {
                let known = seen.known(self.identities.keys());
                each(
                    seen,
                    known,
                    |object| &object.metadata,
                    |key, object| self.put_identity(key, object),
                );
            }
            Input::Grants(seen) => {
                let known = seen.known(self.grants.keys());
                each(
                    seen,
                    known,
                    |object| &object.metadata,
                    |key, object| self.put_grant(&key, object, at),
                );
            }
            Input::Credentials(seen) => {
                let known = seen.known(self.credentials.keys());
                each(
                    seen,
                    known,
                    |object| &object.metadata,
                    |key, object| self.put_credential(key, object),
                );
            }
            Input::Pods(seen) => {
                let known = seen.known(self.pods.keys());
                each(
                    seen,
                    known,
                    |object| &object.metadata,
                    |key, object| {
                        let pod = object.and_then(|object| pods::read(&object.0.ok()?));
                        let touched = self.pods.put(&key, pod);
                        self.touch(touched);
                    },
                );
            }
        }
    }

    fn touch(&mut self, touched: Touched) {
        self.changed.nodes.extend(touched.nodes);
        for agent in touched.agents {
            self.mark_grants_of(&agent);
        }
    }

    fn mark_grants_of(&mut self, agent: &ObjectKey) {
        let grants = self.compiler.desired().agents.get(agent);
        let grants = grants.into_iter().flat_map(|agent| &agent.grants);
        let subjects = grants.map(|grant| (Kind::AccessGrant, grant.key.clone()));
        self.changed.subjects.extend(subjects);
    }

    fn put_identity(&mut self, key: ObjectKey, object: Option<DeserializeGuard<AgentIdentity>>) {
        let Some(object) = object else {
            self.identities.remove(&key);
            return self.compiler.apply(Change::Identity(key, None));
        };
        let life = life_of(metadata_of(&object, |object| &object.metadata));
        let object = object.0.map_err(|invalid| invalid.error).map(|object| {
            let checked = object.check(life.0.clone());
            (checked, object.status.unwrap_or_default())
        });
        let (known, checked) = read(life, object);
        self.changed
            .subjects
            .insert((Kind::AgentIdentity, key.clone()));
        self.identities.insert(key.clone(), known);
        self.compiler.apply(Change::Identity(key, checked));
    }

    fn put_credential(
        &mut self,
        key: ObjectKey,
        object: Option<DeserializeGuard<CredentialSource>>,
    ) {
        let Some(object) = object else {
            self.credentials.remove(&key);
            return self.compiler.apply(Change::Credential(key, None));
        };
        let life = life_of(metadata_of(&object, |object| &object.metadata));
        let object = object.0.map_err(|invalid| invalid.error).map(|object| {
            let checked = object.check(life.0.clone());
            (checked, object.status.unwrap_or_default())
        });
        let (known, checked) = read(life, object);
        self.changed
            .subjects
            .insert((Kind::CredentialSource, key.clone()));
        self.credentials.insert(key.clone(), known);
        self.compiler.apply(Change::Credential(key, checked));
    }

    /// What follows from all that was noted, and from the time.
    pub fn compile(&mut self, now: Timestamp) -> Changed {
        let delta = self.compiler.compile(now);
        let mut agents = std::mem::take(&mut self.stale);
        agents.extend(delta.agents);
        let grants = delta.grants.into_iter();
        let known = grants.filter(|key| self.grants.contains_key(key));
        let subjects: Vec<Subject> = known.map(|key| (Kind::AccessGrant, key)).collect();
        self.changed.subjects.extend(subjects);
        for key in agents {
            let desired = self.compiler.desired().agents.get(&key);
            let new = desired.map(|desired| self.as_served(desired));
            if self.served.get(&key).map(|old| &**old) == new.as_ref() {
                continue;
            }
            match new {
                Some(new) => self.served.insert(key.clone(), Arc::new(new)),
                None => self.served.remove(&key),
            };
            self.changed.nodes.extend(self.pods.nodes_of(&key).cloned());
            self.mark_grants_of(&key);
        }
        std::mem::take(&mut self.changed)
    }

    /// The agent as nodes have to know it. A grant whose beginning is not written down yet is left out:
    /// whoever leads after a crash would not know of it, and let it begin once more.
    fn as_served(&self, desired: &DesiredAgent) -> NodeAgent {
        let mut desired = desired.clone();
        desired.grants.retain(|live| {
            let known = self.grants.get(&live.key);
            known.is_some_and(|known| {
                known.known.uid == live.uid && known.written.activated_at.is_some()
            })
        });
        NodeAgent {
            spiffe_id: SpiffeId::of_agent(&self.trust_domain, &desired.key),
            exempt_containers: BTreeSet::new(),
            desired,
        }
    }

    /// The pods that have an identity.
    pub const fn pods(&self) -> &Pods {
        &self.pods
    }

    /// When time alone changes something.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.compiler.next_change()
    }

    /// What a node has to know: its pods, and their agents.
    pub fn view_of(&self, node: &ObjectName) -> View {
        let mut view = View::default();
        for pod in self.pods.on(node) {
            if let Some(key) = pod.identity_key()
                && let Some(agent) = self.served.get(&key)
            {
                view.agents.insert(key, agent.clone());
            }
            view.pods.insert(pod.uid.clone(), pod.clone());
        }
        view
    }

    /// Where a grant stands.
    pub fn standing_of(&self, key: &ObjectKey) -> Option<&GrantStanding> {
        self.compiler.desired().grants.get(key)
    }

    /// A grant as nodes have to have it, and whose it is.
    pub(super) fn served_grant(&self, key: &ObjectKey) -> Option<(&ObjectKey, Option<&LiveGrant>)> {
        let identity = &self.checked.get(key)?.identity;
        let agent = self.served.get(identity);
        let live =
            agent.and_then(|agent| agent.desired.grants.iter().find(|live| live.key == *key));
        Some((identity, live))
    }

    /// Whether somebody has to approve a grant.
    pub(super) fn needs_approval(&self, key: &ObjectKey) -> bool {
        let is_limited = self.checked.get(key).is_some_and(|grant| {
            let policies = self.compiler.written().policies.values();
            let mut policies = policies.filter(|policy| policy.applies_to(grant));
            policies.any(|policy| {
                matches!(&policy.effect, Effect::Limit(limits) if limits.approval.is_some())
            })
        });
        is_limited || self.decided.contains(key)
    }
}

/// What is known of an object in that life of it, by its check and its status, and the object itself if it is right.
fn read<T, S: Default>(
    (uid, generation): (Uid, i64),
    object: Result<(Result<T, Vec<FieldError>>, S), String>,
) -> (Known<S>, Option<T>) {
    let (checked, status) = match object {
        Ok((checked, status)) => (checked.map_err(|errors| texts(&errors)), status),
        Err(unreadable) => (Err(vec![unreadable]), S::default()),
    };
    let (checked, errors) = split(checked);
    let known = Known {
        uid,
        generation,
        status,
        errors,
    };
    (known, checked)
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn split<T>(checked: Result<T, Vec<String>>) -> (Option<T>, Vec<String>) {
    match checked {
        Ok(checked) => (Some(checked), Vec::new()),
        Err(errors) => (None, errors),
    }
}

//! All that a replica knows, and what is next for each of its tasks.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lanyard_access::{
    object::{ObjectKey, ObjectName, Uid},
    spiffe_id::TrustDomain,
};
use lanyard_crds::{access_grant::status::EnforcedReason, condition::ConditionType, kind::Kind};
use lanyard_protocol::nodes::{Delta, FromNode, Hello};
use serde_json::{Value, json};

use super::{
    bucket::Buckets,
    enforced::{self, Enforced},
    followers::{Followers, Superseded},
    input::{Input, Moment},
    known::{Life, reason_of},
    lease::Election,
    reviews::Question,
    status,
    world::{Changed, World},
    writes::{Subject, Urgency, Writes},
};

/// How many events there are of one object at once.
const EVENTS: u32 = 5;
/// How long it takes until there may be one more.
const EVENT_REFILL: Duration = Duration::from_mins(1);

/// All that a replica knows.
#[derive(Debug)]
pub struct State {
    /// What is written, and what follows.
    pub world: World,
    /// Who listens.
    pub followers: Followers,
    /// Who leads.
    pub election: Election,
    /// Whose status waits.
    pub writes: Writes,
    events: Buckets<Subject>,
    /// Kinds that were listed in whole.
    listed: BTreeSet<Source>,
    led: bool,
}

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `AgentIdentities`.
    Identities,
    /// `AccessGrants`.
    Grants,
    /// `CredentialSources`.
    Credentials,
    /// Pods.
    Pods,
}

impl Source {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::Identities,
        Self::Grants,
        Self::Credentials,
        Self::Pods,
    ];
}

/// A status to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Of which object.
    pub subject: Subject,
    /// Of which life of it: another one is left alone.
    pub uid: Uid,
    /// What stands in it then.
    pub status: Value,
    /// How urgent it was.
    pub urgency: Urgency,
    /// What is said of it to people.
    pub event: Option<Notice>,
    /// The beginning and end that it says.
    pub life: Life,
}

/// Something that people should know of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether they should do something.
    pub is_warning: bool,
    /// In one word.
    pub reason: String,
    /// And what to do.
    pub message: String,
}

impl State {
    /// Nothing is known yet. `epoch` and `me` are of this life of this process alone.
    pub fn new(trust_domain: TrustDomain, epoch: u64, me: String) -> Self {
        Self {
            world: World::new(trust_domain),
            followers: Followers::new(epoch),
            election: Election::new(me),
            writes: Writes::default(),
            events: Buckets::new(EVENTS, EVENT_REFILL),
            listed: BTreeSet::new(),
            led: false,
        }
    }

    /// Whether all that is written is known. Before, nobody is told anything: what is not known yet would
    /// look like what was taken back.
    pub fn is_complete(&self) -> bool {
        self.listed.len() == Source::ALL.len()
    }

    /// Takes in what was heard; a list in whole is from `listed`. The nodes that have to know.
    pub fn take(
        &mut self,
        input: Input,
        listed: Option<Source>,
        at: Moment,
    ) -> BTreeSet<ObjectName> {
        self.world.apply(input, at);
        let was_complete = self.is_complete();
        self.listed.extend(listed);
        if self.is_complete() && !was_complete {
            self.follow(at);
            return self.world.pods.nodes().cloned().collect();
        }
        self.follow(at)
    }

    /// What follows from what was heard and from the time. The nodes that have to know.
    pub fn follow(&mut self, at: Moment) -> BTreeSet<ObjectName> {
        if !self.is_complete() {
            return BTreeSet::new();
        }
        let Changed { nodes, subjects } = self.world.compile(at.wall);
        for subject in subjects {
            self.mark(subject, at);
        }
        nodes
    }

    /// The question about a requester that is due.
    pub fn next_question(&mut self, now: Instant) -> Option<Question> {
        self.is_complete().then(|| self.world.reviews.next(now))?
    }

    /// An answer to it. The nodes that have to know.
    pub fn answer(
        &mut self,
        question: &Question,
        allowed: bool,
        at: Moment,
    ) -> BTreeSet<ObjectName> {
        let verdict = self.world.reviews.answer(question, allowed, at.steady);
        if let Some(verdict) = verdict {
            self.world.give(&question.grant, verdict);
        }
        self.follow(at)
    }

    /// A node begins to listen.
    pub fn hello(&mut self, node: &ObjectName, hello: &Hello) -> u64 {
        self.followers.hello(node, hello.resume)
    }

    /// What to tell a node now.
    pub fn next_for(
        &mut self,
        node: &ObjectName,
        session: u64,
    ) -> Result<Option<Delta>, Superseded> {
        let view = self.world.view_of(node);
        self.followers.next(node, session, &view)
    }

    /// What a node said after its first message.
    pub fn hear(
        &mut self,
        node: &ObjectName,
        session: u64,
        message: FromNode,
        at: Moment,
    ) -> Result<(), Superseded> {
        let grants = match message {
            FromNode::Hello(_) => BTreeSet::new(),
            FromNode::Acknowledged(version) => {
                self.followers.acknowledge(node, session, version)?
            }
            FromNode::Refused { version, reason } => {
                self.followers.refuse(node, session, version, reason)?
            }
        };
        for key in grants {
            self.mark((Kind::AccessGrant, key), at);
        }
        Ok(())
    }

    /// Notes whether this replica leads now; a new leader looks at the status of every object.
    pub fn note_leadership(&mut self, at: Moment) {
        let leads = self.election.leads(at.steady);
        if leads && !std::mem::replace(&mut self.led, leads) {
            self.mark_all(at);
        }
        self.led = leads;
        if self.election.other_leads(at.steady) {
            self.followers.dismiss();
        }
    }

    fn mark_all(&mut self, at: Moment) {
        let world = &self.world;
        let identities = world
            .identities
            .keys()
            .map(|key| (Kind::AgentIdentity, key));
        let grants = world.grants.keys().map(|key| (Kind::AccessGrant, key));
        let credentials = world
            .credentials
            .keys()
            .map(|key| (Kind::CredentialSource, key));
        let all = identities.chain(grants).chain(credentials);
        let all: Vec<Subject> = all.map(|(kind, key)| (kind, key.clone())).collect();
        for subject in all {
            self.mark(subject, at);
        }
    }

    fn mark(&mut self, subject: Subject, at: Moment) {
        if let Some(write) = self.write_of(&subject, at.wall) {
            self.writes.add(subject, write.urgency, at.steady);
        }
    }

    /// The next status to write, if this replica may.
    pub fn next_write(&mut self, at: Moment) -> Option<Write> {
        if !self.is_complete() || !self.election.leads(at.steady) {
            return None;
        }
        while let Some((subject, _)) = self.writes.next(at.steady) {
            let Some(mut write) = self.write_of(&subject, at.wall) else {
                self.writes.give_back(&subject);
                continue;
            };
            let has_token = write.event.is_some() && self.events.take(subject, at.steady);
            write.event = write.event.filter(|_| has_token);
            return Some(write);
        }
        None
    }

    /// A status was written, or not. The nodes that have to know.
    pub fn wrote(&mut self, write: &Write, done: bool, at: Moment) -> BTreeSet<ObjectName> {
        let (kind, key) = &write.subject;
        if !done {
            self.writes.give_back(&write.subject);
            self.writes
                .add(write.subject.clone(), Urgency::Counters, at.steady);
            return BTreeSet::new();
        }
        self.world.wrote(*kind, key, write);
        self.follow(at)
    }

    /// What the status of an object has to become, if it is not so.
    fn write_of(&self, subject: &Subject, now: Timestamp) -> Option<Write> {
        let (kind, key) = subject;
        let write = |uid: &Uid, status: Value, urgency, event| Write {
            subject: subject.clone(),
            uid: uid.clone(),
            status,
            urgency,
            event,
            life: Life::default(),
        };
        match kind {
            Kind::AgentIdentity => {
                let known = self.world.identities.get(key)?;
                let new = status::of_identity(key, known, &self.world.trust_domain, now);
                let urgency = status::urgency(&known.status.conditions, &new.conditions);
                (new != known.status).then(|| write(&known.uid, json!(new), urgency, None))
            }
            Kind::CredentialSource => {
                let known = self.world.credentials.get(key)?;
                let new = status::of_credential(known, now);
                let is_said = status::says(&known.status, &new);
                (!is_said).then(|| write(&known.uid, json!(new), Urgency::End, None))
            }
            Kind::AccessGrant => {
                let grant = self.world.grants.get(key)?;
                let enforced = self.enforced(key);
                let standing = self.world.standing_of(key);
                let standing = standing.filter(|standing| standing.uid == grant.known.uid);
                let needs_approval = self.world.needs_approval(key);
                let new = status::of_grant(grant, standing, &enforced, needs_approval, now);
                if new == grant.known.status {
                    return None;
                }
                let old = &grant.known.status.conditions;
                let urgency = status::urgency(old, &new.conditions);
                let mut write = write(
                    &grant.known.uid,
                    json!(new),
                    urgency,
                    notice(old, &new.conditions),
                );
                write.life = Life::of(&new);
                Some(write)
            }
        }
    }

    fn enforced(&self, key: &ObjectKey) -> Enforced {
        let Some((agent, live)) = self.world.served_grant(key) else {
            let reason = EnforcedReason::NoNodes;
            let message = reason.meaning().to_owned();
            return Enforced { reason, message };
        };
        let nodes = self.world.pods.nodes_of(agent);
        let nodes = nodes.map(|node| (node, self.followers.word_of(node)));
        enforced::fold(agent, key, live, nodes)
    }
}

/// What people should know when the conditions of a grant become others.
fn notice(
    old: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
    new: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition],
) -> Option<Notice> {
    let changed = |name: ConditionType| {
        let condition = new
            .iter()
            .find(|condition| condition.type_ == name.as_str())?;
        let is_new = reason_of(old, name.as_str()) != Some(&condition.reason);
        is_new.then_some(condition)
    };
    let failed = changed(ConditionType::Enforced);
    let failed = failed.filter(|condition| condition.reason == EnforcedReason::Failed.as_str());
    let ordinary = [
        "Active",
        "Expired",
        "Revoked",
        "NotYetValid",
        "ReviewPending",
        "ApprovalPending",
    ];
    let condition = changed(ConditionType::Ready).or(failed)?;
    // The message of an object that is not in order is in the other condition.
    let accepted = new
        .iter()
        .find(|condition| condition.type_ == ConditionType::Accepted.as_str());
    let accepted = accepted.filter(|accepted| accepted.status == "False");
    let message = accepted.unwrap_or(condition).message.clone();
    Some(Notice {
        is_warning: !ordinary.contains(&condition.reason.as_str()),
        reason: condition.reason.clone(),
        message,
    })
}

#[cfg(test)]
mod tests;

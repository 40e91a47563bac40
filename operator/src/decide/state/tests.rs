use std::time::Duration;

use kube::core::DeserializeGuard;
use lanyard_protocol::nodes::Base;
use serde::de::DeserializeOwned;

use super::*;
use crate::decide::input::Seen;

fn at(seconds: u64) -> Moment {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let wall = Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).unwrap());
    Moment::new(wall.unwrap(), start + Duration::from_secs(seconds))
}

fn object<K: DeserializeOwned + kube::Resource>(value: Value) -> DeserializeGuard<K> {
    DeserializeGuard(Ok(serde_json::from_value(value).unwrap()))
}

fn identity(name: &str) -> Input {
    Input::Identities(Seen::Now(object(json!({
        "apiVersion": "lanyard.dev/v1alpha1", "kind": "AgentIdentity",
        "metadata": { "name": name, "namespace": "team", "uid": format!("i-{name}"), "generation": 1 },
        "spec": { "workloadSelector": {} },
    }))))
}

fn grant_value(name: &str, identity: &str) -> Value {
    json!({
        "apiVersion": "lanyard.dev/v1alpha1", "kind": "AccessGrant",
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("g-{name}"), "generation": 1,
            "annotations": { "lanyard.dev/requested-by": "bob" },
        },
        "spec": {
            "identityRef": { "name": identity },
            "resource": { "host": "api.example.com", "protocol": "HTTPS" },
            "duration": "10m",
        },
    })
}

fn grant(value: Value) -> Input {
    Input::Grants(Seen::Now(object(value)))
}

fn pod(name: &str, identity: &str, node: &str) -> Input {
    Input::Pods(Seen::Now(object(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "team", "uid": format!("p-{name}"),
            "labels": { "lanyard.dev/identity": identity },
        },
        "spec": { "nodeName": node, "containers": [{ "name": "agent" }] },
    }))))
}

/// Everything is listed, and nothing was there.
fn complete() -> State {
    let mut state = State::new("example.org".parse().unwrap(), 7, "me".into());
    for (source, input) in [
        (Source::Identities, Input::Identities(Seen::All(Vec::new()))),
        (Source::Grants, Input::Grants(Seen::All(Vec::new()))),
        (
            Source::Credentials,
            Input::Credentials(Seen::All(Vec::new())),
        ),
        (Source::Pods, Input::Pods(Seen::All(Vec::new()))),
    ] {
        state.take(input, Some(source), at(0));
    }
    state
}

/// An agent `bot` on `n1`, whose grant `g` was asked for by somebody who may.
fn with_grant() -> State {
    let mut state = complete();
    state.take(identity("bot"), None, at(0));
    state.take(pod("bot-0", "bot", "n1"), None, at(0));
    state.take(grant(grant_value("g", "bot")), None, at(0));
    answer(&mut state, true, at(0));
    lead(&mut state, at(0));
    state
}

fn answer(state: &mut State, allowed: bool, at: Moment) {
    let question = state.next_question(at.steady).unwrap();
    state.answer(&question, allowed, at);
}

fn lead(state: &mut State, at: Moment) {
    state.election.won(at.steady);
    state.note_leadership(at);
}

/// Writes everything that waits; the last status of the grant `g`.
fn write_all(state: &mut State, at: Moment) -> Option<Write> {
    let mut of_grant = None;
    while let Some(write) = state.next_write(at) {
        state.wrote(&write, true, at);
        of_grant = Some(write)
            .filter(|write| write.subject.0 == Kind::AccessGrant)
            .or(of_grant);
    }
    of_grant
}

fn reason(write: &Write, condition: &str) -> String {
    let conditions = write.status["conditions"].as_array().unwrap();
    let found = conditions
        .iter()
        .find(|found| found["type"] == condition)
        .unwrap();
    found["reason"].as_str().unwrap().to_owned()
}

fn node(name: &str) -> ObjectName {
    name.parse().unwrap()
}

fn listen(state: &mut State, name: &str) -> u64 {
    let hello = Hello {
        version: "0".into(),
        protocol: 1,
        resume: None,
    };
    state.hello(&node(name), &hello)
}

fn told(state: &mut State, name: &str, session: u64) -> Option<Delta> {
    state.next_for(&node(name), session).unwrap()
}

#[test]
fn a_grant_reaches_the_nodes_that_run_its_agent_and_only_once_it_is_written_down() {
    let mut state = with_grant();
    let (one, two) = (listen(&mut state, "n1"), listen(&mut state, "n2"));
    let first = told(&mut state, "n1", one).unwrap();
    assert_eq!(first.agents.len(), 1);
    assert!(
        first
            .agents
            .values()
            .all(|agent| agent.desired.grants.is_empty())
    );
    let other = told(&mut state, "n2", two).unwrap();
    assert!(other.agents.is_empty() && other.pods.is_empty());

    let write = write_all(&mut state, at(0)).unwrap();
    assert_eq!(reason(&write, "Ready"), "Active");
    assert_eq!(write.urgency, Urgency::Activate);
    assert_eq!(write.event.as_ref().unwrap().reason, "Active");
    let delta = told(&mut state, "n1", one).unwrap();
    assert_eq!(delta.base, Base::Version(first.version));
    assert_eq!(
        delta.agents.values().next().unwrap().desired.grants.len(),
        1
    );
    assert_eq!(told(&mut state, "n2", two), None);
}

#[test]
fn acknowledgements_become_one_condition() {
    let mut state = with_grant();
    let session = listen(&mut state, "n1");
    let write = write_all(&mut state, at(0)).unwrap();
    assert_eq!(reason(&write, "Enforced"), "Pending");
    let version = told(&mut state, "n1", session).unwrap().version;
    let word = FromNode::Acknowledged(version);
    state.hear(&node("n1"), session, word, at(1)).unwrap();
    let write = write_all(&mut state, at(1)).unwrap();
    assert_eq!(reason(&write, "Enforced"), "Acknowledged");
    let refused = FromNode::Refused {
        version,
        reason: "map full".into(),
    };
    state.hear(&node("n1"), session, refused, at(2)).unwrap();
    let write = write_all(&mut state, at(2)).unwrap();
    assert_eq!(reason(&write, "Enforced"), "Failed");
    assert_eq!(write.event.unwrap().reason, "Failed");
    // A count alone waits.
    state.take(pod("bot-1", "bot", "n2"), None, at(3));
    assert_eq!(write_all(&mut state, at(3)), None);
    assert!(write_all(&mut state, at(7)).is_some());
}

#[test]
fn a_revoked_grant_leaves_the_node_at_once() {
    let mut state = with_grant();
    let session = listen(&mut state, "n1");
    let write = write_all(&mut state, at(0)).unwrap();
    told(&mut state, "n1", session).unwrap();
    let mut revoked = grant_value("g", "bot");
    revoked["status"] = write.status;
    revoked["spec"]["revoked"] = json!(true);
    revoked["metadata"]["generation"] = json!(2);
    let woken = state.take(grant(revoked), None, at(1));
    assert!(woken.contains(&node("n1")));
    let delta = told(&mut state, "n1", session).unwrap();
    assert!(
        delta
            .agents
            .values()
            .next()
            .unwrap()
            .desired
            .grants
            .is_empty()
    );
    let write = write_all(&mut state, at(1)).unwrap();
    assert_eq!(
        (reason(&write, "Ready").as_str(), write.urgency),
        ("Revoked", Urgency::Revoke)
    );
    // And a deletion does the same.
    let mut state = with_grant();
    write_all(&mut state, at(0));
    let session = listen(&mut state, "n1");
    told(&mut state, "n1", session).unwrap();
    let gone = Input::Grants(Seen::Gone(object(grant_value("g", "bot"))));
    assert!(state.take(gone, None, at(1)).contains(&node("n1")));
    assert_eq!(told(&mut state, "n1", session).unwrap().agents.len(), 1);
}

#[test]
fn who_may_not_grant_grants_nothing() {
    for change in [false, true] {
        let mut state = complete();
        state.take(identity("bot"), None, at(0));
        state.take(pod("bot-0", "bot", "n1"), None, at(0));
        let mut value = grant_value("g", "bot");
        if change {
            value["metadata"]["annotations"] = json!({});
        }
        state.take(grant(value), None, at(0));
        lead(&mut state, at(0));
        if !change {
            let write = write_all(&mut state, at(0)).unwrap();
            assert_eq!(reason(&write, "Ready"), "ReviewPending");
            answer(&mut state, false, at(0));
        }
        let write = write_all(&mut state, at(9)).unwrap();
        assert_eq!(reason(&write, "Ready"), "RequesterNotAllowed");
        assert!(write.event.unwrap().is_warning);
        assert!(write.status.get("activatedAt").is_none());
        let session = listen(&mut state, "n1");
        let delta = told(&mut state, "n1", session).unwrap();
        assert!(
            delta
                .agents
                .values()
                .all(|agent| agent.desired.grants.is_empty())
        );
    }
}

#[test]
fn a_take_over_neither_loses_a_grant_nor_begins_it_again() {
    let mut first = with_grant();
    let write = write_all(&mut first, at(0)).unwrap();
    let mut stored = grant_value("g", "bot");
    stored["status"] = write.status.clone();

    let mut second = complete();
    second.take(identity("bot"), None, at(300));
    second.take(pod("bot-0", "bot", "n1"), None, at(300));
    second.take(grant(stored.clone()), None, at(300));
    assert_eq!(
        second.next_question(at(300).steady),
        None,
        "it was asked when it began"
    );
    let session = listen(&mut second, "n1");
    let delta = told(&mut second, "n1", session).unwrap();
    let held = delta.agents.values().next().unwrap().desired.grants[0].ends_at;
    assert_eq!(held, at(600).wall);
    lead(&mut second, at(300));
    assert!(
        write_all(&mut second, at(300)).is_none(),
        "its status says all that there is to say"
    );

    // A clock behind the first one's does not bring back what had ended.
    first.follow(at(601));
    lead(&mut first, at(601));
    let write = write_all(&mut first, at(601)).unwrap();
    assert_eq!(reason(&write, "Ready"), "Expired");
    stored["status"] = write.status;
    let mut third = complete();
    third.take(identity("bot"), None, at(100));
    third.take(grant(stored), None, at(100));
    let standing = third.world.standing_of(&"team/g".parse().unwrap()).unwrap();
    assert_eq!(standing.reason.as_str(), "Expired");
}

#[test]
fn nothing_is_told_and_nothing_written_before_everything_is_known_or_without_the_lease() {
    let mut state = State::new("example.org".parse().unwrap(), 7, "me".into());
    state.take(identity("bot"), None, at(0));
    state.take(grant(grant_value("g", "bot")), None, at(0));
    lead(&mut state, at(0));
    assert!(!state.is_complete());
    assert_eq!(state.next_question(at(0).steady), None);
    assert_eq!(state.next_write(at(0)), None);

    let mut state = with_grant();
    assert!(state.next_write(at(11)).is_none(), "the lease is over");
    lead(&mut state, at(12));
    assert!(state.next_write(at(12)).is_some());
}

#[test]
fn an_object_that_cannot_be_read_says_so_and_gives_nothing() {
    let mut state = with_grant();
    write_all(&mut state, at(0));
    let mut broken = grant_value("g", "bot");
    broken["spec"]["resource"]["host"] = json!("not a host");
    broken["metadata"]["generation"] = json!(2);
    state.take(grant(broken), None, at(1));
    let write = write_all(&mut state, at(1)).unwrap();
    assert_eq!(reason(&write, "Accepted"), "Invalid");
    assert!(write.event.unwrap().message.contains("spec.resource.host"));
    let session = listen(&mut state, "n1");
    let delta = told(&mut state, "n1", session).unwrap();
    assert!(
        delta
            .agents
            .values()
            .all(|agent| agent.desired.grants.is_empty())
    );
}

#[test]
fn another_replica_that_leads_is_left_the_nodes() {
    let mut state = with_grant();
    let session = listen(&mut state, "n1");
    let other = crate::decide::lease::Record {
        holder: "other".into(),
        renewed: "1".into(),
    };
    state.election.step(Some(other), at(1).steady);
    state.note_leadership(at(1));
    assert_eq!(state.next_for(&node("n1"), session), Err(Superseded));
    assert_eq!(state.next_write(at(1)), None);
}

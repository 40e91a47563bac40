use std::{collections::BTreeSet, sync::Arc};

use lanyard_access::{
    desired::DesiredAgent,
    identity::{Enforcement, ProcessAccess},
    object::Uid,
};
use lanyard_protocol::nodes::{Base, NodeAgent};
use proptest::prelude::*;

use super::*;

fn node() -> ObjectName {
    "n1".parse().unwrap()
}

/// A view of agents, each in one of a few forms.
fn view(agents: &[(u8, u8)]) -> View {
    let agents = agents.iter().map(|(name, form)| {
        let agent = NodeAgent {
            spiffe_id: "spiffe://example.org/a".parse().unwrap(),
            exempt_containers: BTreeSet::new(),
            desired: DesiredAgent {
                key: format!("team/a{name}").parse().unwrap(),
                uid: Uid::new(form.to_string()),
                processes: Vec::new(),
                enforcement: Enforcement::Enforce,
                process_access: ProcessAccess::None,
                grants: Vec::new(),
            },
        };
        (agent.desired.key.clone(), Arc::new(agent))
    });
    View {
        agents: agents.collect(),
        pods: BTreeMap::new(),
    }
}

/// What a node makes of a delta: nothing, if it is no change of what it has.
fn merge(have: &mut Option<(u64, View)>, delta: Delta) -> bool {
    let mut new = match (delta.base, have.as_ref()) {
        (Base::Nothing, _) => View::default(),
        (Base::Version(base), Some((version, view))) if base == *version => view.clone(),
        (Base::Version(_), _) => return false,
    };
    for key in delta.gone_agents {
        new.agents.remove(&key);
    }
    let agents = delta.agents.into_iter();
    new.agents
        .extend(agents.map(|(key, agent)| (key, Arc::new(agent))));
    *have = Some((delta.version, new));
    true
}

#[test]
fn a_node_is_told_everything_first_and_then_what_changes() {
    let mut followers = Followers::new(7);
    let session = followers.hello(&node(), None);
    let first = followers
        .next(&node(), session, &view(&[]))
        .unwrap()
        .unwrap();
    assert_eq!(
        (first.base, first.epoch),
        (Base::Nothing, 7),
        "even when it is nothing"
    );
    assert_eq!(followers.next(&node(), session, &view(&[])), Ok(None));
    let second = followers
        .next(&node(), session, &view(&[(1, 1)]))
        .unwrap()
        .unwrap();
    assert_eq!(second.base, Base::Version(first.version));
    let third = followers
        .next(&node(), session, &view(&[]))
        .unwrap()
        .unwrap();
    assert_eq!(third.gone_agents.len(), 1);
}

#[test]
fn a_node_that_comes_back_is_told_what_it_missed_or_everything() {
    let mut followers = Followers::new(7);
    let session = followers.hello(&node(), None);
    let version = followers
        .next(&node(), session, &view(&[(1, 1)]))
        .unwrap()
        .unwrap()
        .version;
    followers.acknowledge(&node(), session, version).unwrap();
    followers.bye(&node(), session);
    let back = |followers: &mut Followers, epoch, version| {
        let session = followers.hello(&node(), Some(ResumePoint { epoch, version }));
        followers
            .next(&node(), session, &view(&[(1, 1), (2, 1)]))
            .unwrap()
            .unwrap()
    };
    let delta = back(&mut followers, 7, version);
    assert_eq!(
        (delta.base, delta.agents.len()),
        (Base::Version(version), 1)
    );
    for (epoch, version) in [(8, version), (7, version + 9)] {
        let delta = back(&mut followers, epoch, version);
        assert_eq!((delta.base, delta.agents.len()), (Base::Nothing, 2));
    }
}

#[test]
fn a_newer_stream_of_a_node_ends_the_older_one() {
    let mut followers = Followers::new(7);
    let old = followers.hello(&node(), None);
    let new = followers.hello(&node(), None);
    assert_eq!(followers.next(&node(), old, &view(&[])), Err(Superseded));
    assert_eq!(followers.acknowledge(&node(), old, 1), Err(Superseded));
    followers.bye(&node(), old);
    assert_eq!(followers.connected(), 1);
    followers.dismiss();
    assert_eq!(followers.next(&node(), new, &view(&[])), Err(Superseded));
}

#[test]
fn who_acknowledges_nothing_is_told_no_more_after_a_while() {
    let mut followers = Followers::new(7);
    let session = followers.hello(&node(), None);
    let mut told = 0;
    for form in 0..100 {
        told += usize::from(
            followers
                .next(&node(), session, &view(&[(1, form)]))
                .unwrap()
                .is_some(),
        );
    }
    assert_eq!(told, MOST_UNACKNOWLEDGED + 1);
    followers.acknowledge(&node(), session, 3).unwrap();
    assert!(
        followers
            .next(&node(), session, &view(&[(1, 200)]))
            .unwrap()
            .is_some()
    );
}

#[test]
fn what_a_node_says_is_remembered() {
    let mut followers = Followers::new(7);
    assert_eq!(followers.word_of(&node()), Word::Silent);
    let session = followers.hello(&node(), None);
    let held = view(&[(1, 1)]);
    let version = followers
        .next(&node(), session, &held)
        .unwrap()
        .unwrap()
        .version;
    assert_eq!(followers.word_of(&node()), Word::Silent);
    followers.acknowledge(&node(), session, version).unwrap();
    assert_eq!(followers.word_of(&node()), Word::Holds(&held));
    let next = followers
        .next(&node(), session, &view(&[(1, 2)]))
        .unwrap()
        .unwrap()
        .version;
    followers
        .refuse(&node(), session, next, "map full".into())
        .unwrap();
    assert_eq!(followers.word_of(&node()), Word::Refused("map full"));
    followers.acknowledge(&node(), session, next).unwrap();
    assert_eq!(followers.word_of(&node()), Word::Holds(&view(&[(1, 2)])));
    followers.bye(&node(), session);
    followers.forget_all_but(|_| false);
    assert_eq!(followers.word_of(&node()), Word::Silent);
}

#[derive(Debug, Clone)]
enum Step {
    Change(Vec<(u8, u8)>),
    Tell,
    Acknowledge,
    Lose,
    Reconnect(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => proptest::collection::vec((0..4_u8, 0..3_u8), 0..4).prop_map(Step::Change),
        3 => Just(Step::Tell),
        2 => Just(Step::Acknowledge),
        1 => Just(Step::Lose),
        2 => any::<bool>().prop_map(Step::Reconnect),
    ]
}

proptest! {
    /// Whatever is lost and whenever a node comes back: once it is told all there is to tell, it has exactly
    /// what holds; and no delta ever changes something that it does not have.
    #[test]
    fn a_node_ends_with_what_holds(steps in proptest::collection::vec(any_step(), 0..40)) {
        let mut followers = Followers::new(7);
        let mut now = View::default();
        let mut have: Option<(u64, View)> = None;
        let mut session = followers.hello(&node(), None);
        let settle = |followers: &mut Followers, have: &mut Option<(u64, View)>, session, now: &View| {
            while let Some(delta) = followers.next(&node(), session, now).unwrap() {
                let version = delta.version;
                assert!(merge(have, delta), "a delta of something that the node does not have");
                followers.acknowledge(&node(), session, version).unwrap();
            }
        };
        for step in steps {
            match step {
                Step::Change(agents) => now = view(&agents),
                Step::Tell => if let Some(delta) = followers.next(&node(), session, &now).unwrap() {
                    prop_assert!(merge(&mut have, delta));
                },
                Step::Acknowledge => if let Some((version, _)) = &have {
                    followers.acknowledge(&node(), session, *version).unwrap();
                },
                Step::Lose => {
                    let _ = followers.next(&node(), session, &now);
                    session = followers.hello(&node(), have.as_ref().map(|(version, _)| ResumePoint { epoch: 7, version: *version }));
                }
                Step::Reconnect(knows) => {
                    have = have.filter(|_| knows);
                    let resume = have.as_ref().map(|(version, _)| ResumePoint { epoch: 7, version: *version });
                    session = followers.hello(&node(), resume);
                }
            }
        }
        settle(&mut followers, &mut have, session, &now);
        prop_assert_eq!(have.map(|(_, view)| view), Some(now));
    }
}

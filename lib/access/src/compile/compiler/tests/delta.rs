//! What a compilation says that it changed, and what it looks at for that.

use std::collections::BTreeSet;

use super::{super::*, *};
use crate::{
    policy::Effect,
    sample::{approval, host, policy},
};

fn keys<const N: usize>(names: [&str; N]) -> BTreeSet<ObjectKey> {
    names.into_iter().map(key).collect()
}

#[test]
fn nothing_follows_before_it_is_compiled() {
    let mut compiler = fed();
    assert_eq!(*compiler.desired(), Desired::default());
    compiler.compile(at(0));
    let before = compiler.desired().clone();
    compiler.apply(Change::Grant(key("team/g"), None));
    compiler.apply(Change::Identity(key("team/bot"), None));
    assert_eq!(*compiler.desired(), before);
}

#[test]
fn what_is_new_different_or_gone_is_named() {
    let mut compiler = fed();
    let delta = compiler.compile(at(0));
    assert_eq!(delta.agents, keys(["team/bot"]));
    assert_eq!(delta.grants, keys(["team/g"]));
    assert_eq!(compiler.compile(at(1)), Delta::default());
    write(&mut compiler, grant("team/h", "team/bot"));
    assert_eq!(compiler.compile(at(1)).grants, keys(["team/h"]));
    compiler.apply(Change::Grant(key("team/g"), None));
    let delta = compiler.compile(at(1));
    assert_eq!(delta.agents, keys(["team/bot"]));
    assert_eq!(delta.grants, keys(["team/g"]), "gone");
    assert_eq!(compiler.compile(at(11)).grants, keys(["team/h"]), "ended");
    compiler.apply(Change::Identity(key("team/bot"), None));
    let delta = compiler.compile(at(11));
    assert_eq!(delta.agents, keys(["team/bot"]));
    assert!(compiler.desired().agents.is_empty());
}

#[test]
fn what_came_and_went_in_between_is_not_named() {
    let mut compiler = fed();
    compiler.compile(at(0));
    write(&mut compiler, grant("team/h", "team/bot"));
    compiler.apply(Change::Grant(key("team/h"), None));
    compiler.apply(Change::Grant(key("team/g"), None));
    write(&mut compiler, open());
    assert_eq!(compiler.compile(at(0)), Delta::default());
}

#[test]
fn a_grant_that_moves_to_another_agent_leaves_the_first() {
    let mut compiler = fed();
    let other = identity("team/other");
    compiler.apply(Change::Identity(other.key.clone(), Some(other)));
    compiler.compile(at(0));
    write(&mut compiler, grant("team/g", "team/other"));
    let delta = compiler.compile(at(0));
    assert_eq!(delta.agents, keys(["team/bot", "team/other"]));
    let grants_of = |name| compiler.desired().agents[&key(name)].grants.len();
    assert_eq!((grants_of("team/bot"), grants_of("team/other")), (0, 1));
}

#[test]
fn replacing_everything_by_the_same_touches_nothing() {
    let mut compiler = fed();
    let written = compiler.written().clone();
    compiler.compile(at(0));
    compiler.replace(written);
    assert_eq!(compiler.dirty, BTreeSet::new());
}

#[test]
fn what_is_gone_leaves_nothing_behind() {
    let mut compiler = fed();
    let with_credential = Grant {
        credential: Some(key("team/token")),
        ..open()
    };
    let yes = approval(&with_credential, "ann", at(5));
    write(&mut compiler, with_credential);
    compiler.apply(Change::Approval(yes.key.clone(), Some(yes.clone())));
    compiler.compile(at(0));
    let elsewhere = Approval {
        grant: key("team/other"),
        ..yes
    };
    compiler.apply(Change::Approval(elsewhere.key.clone(), Some(elsewhere)));
    compiler.compile(at(0));
    compiler.replace(Written::default());
    compiler.compile(at(0));
    assert_eq!(*compiler.desired(), Desired::default());
    assert_eq!(compiler.index, Index::default());
    assert_eq!(compiler.schedule, Schedule::default());
}

#[test]
fn a_policy_touches_only_the_agents_it_is_about() {
    let mut compiler = fed();
    for name in ["other/bot", "team/idle", "tea/bot", "team0/bot"] {
        let identity = identity(name);
        compiler.apply(Change::Identity(identity.key.clone(), Some(identity)));
    }
    let mut elsewhere = grant("other/g", "other/bot");
    elsewhere.resource.host = host("example.com");
    write(&mut compiler, elsewhere);
    write(&mut compiler, grant("tea/g", "tea/bot"));
    write(&mut compiler, grant("team0/g", "team0/bot"));
    compiler.compile(at(0));
    let mut touched = |namespaces: &[&str], hosts: &[&str]| {
        let mut policy = policy("p", Effect::Deny);
        policy.namespaces = namespaces.iter().map(|n| n.parse().unwrap()).collect();
        policy.hosts = hosts.iter().map(|name| host(name)).collect();
        compiler.apply(Change::Policy(policy.name.clone(), Some(policy.clone())));
        let touched = std::mem::take(&mut compiler.dirty);
        compiler.apply(Change::Policy(policy.name, None));
        assert_eq!(std::mem::take(&mut compiler.dirty), touched, "when it goes");
        touched
    };
    assert_eq!(touched(&["team"], &[]), keys(["team/bot"]));
    assert_eq!(touched(&[], &["example.com"]), keys(["other/bot"]));
    assert_eq!(touched(&["team"], &["example.com"]), keys([]));
    assert_eq!(touched(&["none"], &[]), keys([]));
    let all = keys(["other/bot", "tea/bot", "team/bot", "team0/bot"]);
    assert_eq!(touched(&[], &[]), all);
}

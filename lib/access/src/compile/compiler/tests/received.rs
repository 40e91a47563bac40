//! Agents that another compiler has compiled.

use super::*;

/// What a compiler that knows `team/bot` and its grant makes of them at noon.
fn compiled() -> DesiredAgent {
    let mut other = fed();
    other.compile(at(0));
    other.desired().agents[&key("team/bot")].clone()
}

fn receiving(agent: DesiredAgent) -> Compiler {
    let mut compiler = Compiler::default();
    compiler.receive(&key("team/bot"), Some(agent));
    compiler
}

#[test]
fn what_is_received_holds_as_it_is_until_it_ends() {
    let mut compiler = receiving(compiled());
    let delta = compiler.compile(at(1));
    assert!(delta.agents.contains(&key("team/bot")));
    assert!(delta.grants.contains(&key("team/g")));
    assert_eq!(compiler.desired().agents[&key("team/bot")], compiled());
    assert_eq!(active_until(&mut compiler, 1), Some(10));
    assert_eq!(compiler.next_change(), Some(at(10)));
    assert_eq!(reason(&mut compiler, 10), GrantReason::Expired);
    assert_eq!(active_until(&mut compiler, 11), None);
    // Of a clock that is set back it comes to life again here: the node's deadlines keep it from that.
    assert_eq!(compiler.next_change(), None);
}

#[test]
fn what_is_withdrawn_is_gone_at_once_and_leaves_nothing() {
    let mut compiler = receiving(compiled());
    compiler.compile(at(1));
    let without = DesiredAgent {
        grants: Vec::new(),
        ..compiled()
    };
    compiler.receive(&key("team/bot"), Some(without));
    let delta = compiler.compile(at(2));
    assert!(delta.grants.contains(&key("team/g")));
    assert!(compiler.desired().grants.is_empty());
    assert!(
        compiler.desired().agents[&key("team/bot")]
            .grants
            .is_empty()
    );
    compiler.receive(&key("team/bot"), None);
    let delta = compiler.compile(at(3));
    assert!(delta.agents.contains(&key("team/bot")));
    assert!(compiler.desired().agents.is_empty());
    assert_eq!(compiler.received().count(), 0);
}

#[test]
fn an_ended_grant_that_is_withdrawn_leaves_nothing_either() {
    let mut compiler = receiving(compiled());
    assert_eq!(reason(&mut compiler, 11), GrantReason::Expired);
    compiler.receive(&key("team/bot"), None);
    compiler.compile(at(12));
    assert!(compiler.desired().grants.is_empty());
}

#[test]
fn what_was_carried_here_counts_here() {
    let mut compiler = receiving(compiled());
    assert_eq!(reason(&mut compiler, 1), GrantReason::Active);
    let grant = open();
    compiler.use_up(&grant.key, &grant.uid, &grant.spec_hash);
    assert_eq!(reason(&mut compiler, 2), GrantReason::UsedUp);
    assert_eq!(active_until(&mut compiler, 2), None);
}

#[test]
fn what_is_revoked_here_stays_so_whatever_is_received_afterwards() {
    let mut compiler = receiving(compiled());
    assert_eq!(active_until(&mut compiler, 1), Some(10));
    assert!(!compiler.revoke_received(&key("team/other")));
    assert!(compiler.revoke_received(&key("team/g")));
    assert_eq!(reason(&mut compiler, 2), GrantReason::Revoked);
    assert_eq!(active_until(&mut compiler, 2), None);
    compiler.receive(&key("team/bot"), Some(compiled()));
    assert_eq!(reason(&mut compiler, 3), GrantReason::Revoked);
    compiler.receive(&key("team/bot"), None);
    compiler.compile(at(4));
    compiler.receive(&key("team/bot"), Some(compiled()));
    assert_eq!(reason(&mut compiler, 5), GrantReason::Revoked);
    let mut after = Compiler::with_history(compiler.history().clone());
    after.receive(&key("team/bot"), Some(compiled()));
    assert_eq!(reason(&mut after, 6), GrantReason::Revoked, "a restart");
}

//! A duration begins once.

use super::{super::*, *};
use crate::{object::Uid, sample::spec};

#[test]
fn a_grant_written_again_is_as_old_as_before() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    write(&mut compiler, open());
    assert_eq!(active_until(&mut compiler, 4), Some(10), "by apply");
    let mut written = compiler.written().clone();
    written.grants = [(key("team/g"), open())].into();
    compiler.replace(written);
    assert_eq!(active_until(&mut compiler, 5), Some(10), "by replace");
    write(&mut compiler, open());
    assert_eq!(reason(&mut compiler, 10), GrantReason::Expired);
}

#[test]
fn a_grant_that_went_and_came_back_is_as_old_as_before() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    compiler.apply(Change::Grant(key("team/g"), None));
    write(&mut compiler, open());
    assert_eq!(active_until(&mut compiler, 3), Some(10), "at once");
    compiler.apply(Change::Grant(key("team/g"), None));
    compiler.compile(at(4));
    write(&mut compiler, open());
    assert_eq!(active_until(&mut compiler, 5), Some(10), "after a while");
}

#[test]
fn a_new_life_begins_anew_and_a_new_spec_does_not() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    let other_spec = Grant {
        spec_hash: spec(2),
        ..open()
    };
    write(&mut compiler, other_spec);
    assert_eq!(active_until(&mut compiler, 3), Some(10));
    let other_life = Grant {
        uid: Uid::new("next"),
        ..open()
    };
    write(&mut compiler, other_life);
    assert_eq!(active_until(&mut compiler, 5), Some(15));
}

#[test]
fn a_spec_changed_and_changed_back_is_as_old_as_before() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    let other_spec = Grant {
        spec_hash: spec(2),
        ..open()
    };
    write(&mut compiler, other_spec);
    assert_eq!(active_until(&mut compiler, 9), Some(10));
    write(&mut compiler, open());
    assert_eq!(active_until(&mut compiler, 9), Some(10));
    assert_eq!(reason(&mut compiler, 10), GrantReason::Expired);
}

#[test]
fn of_what_the_caller_kept_and_what_is_remembered_the_earlier_counts() {
    let kept = |minute| Grant {
        activated_at: Some(at(minute)),
        ..open()
    };
    let mut compiler = fed();
    write(&mut compiler, kept(-4));
    assert_eq!(active_until(&mut compiler, 0), Some(6));
    write(&mut compiler, kept(-2));
    assert_eq!(active_until(&mut compiler, 0), Some(6), "a later moment");
    write(&mut compiler, kept(-6));
    assert_eq!(active_until(&mut compiler, 0), Some(4), "an earlier moment");
    write(&mut compiler, kept(-8));
    write(&mut compiler, open());
    assert_eq!(active_until(&mut compiler, 0), Some(2), "never compiled");
}

#[test]
fn a_later_compiler_with_the_history_goes_on_where_the_first_stopped() {
    let mut compiler = fed();
    assert_eq!(active_until(&mut compiler, 0), Some(10));
    assert_eq!(reason(&mut compiler, 30), GrantReason::Expired);
    let text = serde_json::to_string(compiler.history()).unwrap();
    let history: History = serde_json::from_str(&text).unwrap();
    assert_eq!(history, *compiler.history());
    let mut later = Compiler::with_history(history);
    later.replace(fed().written().clone());
    assert_eq!(
        reason(&mut later, 5),
        GrantReason::Expired,
        "after a reboot with an early clock"
    );
    assert_eq!(reason(&mut fed(), 5), GrantReason::Active);
}

#[test]
fn the_past_of_many_lives_is_not_kept_for_ever() {
    let mut compiler = fed();
    let life = |number: usize| Grant {
        uid: Uid::new(number.to_string()),
        ..open()
    };
    for number in 0..History::MOST_OVER + 2 {
        write(&mut compiler, life(number));
        compiler.compile(at(0));
    }
    let began = |number| {
        let Grant {
            key,
            uid,
            spec_hash,
            ..
        } = life(number);
        compiler
            .history()
            .past_of(&key, &uid, &spec_hash)
            .activated_at
    };
    assert_eq!(began(0), None);
    assert_eq!(began(1), Some(at(0)));
}

#[test]
fn the_past_of_grants_deleted_in_between_is_not_kept_for_ever() {
    let mut history = History::default();
    let past = crate::compile::Past {
        activated_at: Some(at(0)),
        ..crate::compile::Past::default()
    };
    for number in 0..History::MOST_OVER + 10 {
        let key = key(&format!("team/old{number}"));
        history.remember(&key, &Uid::new("old"), &spec(1), past);
    }
    let mut compiler = Compiler::with_history(history);
    compiler.replace(fed().written().clone());
    let known = (0..History::MOST_OVER + 10).filter(|number| {
        let key = key(&format!("team/old{number}"));
        let history = compiler.history();
        history.past_of(&key, &Uid::new("old"), &spec(1)) == past
    });
    assert_eq!(known.count(), History::MOST_OVER);
}

#[test]
fn what_was_revoked_is_not_given_back_by_a_re_apply() {
    let mut compiler = fed();
    let revoked = Grant {
        revoked: true,
        spec_hash: spec(2),
        ..open()
    };
    write(&mut compiler, revoked);
    write(&mut compiler, open());
    assert_eq!(reason(&mut compiler, 0), GrantReason::Revoked, "by apply");
    compiler.replace(fed().written().clone());
    assert_eq!(reason(&mut compiler, 0), GrantReason::Revoked, "by replace");
    let new_life = Grant {
        uid: Uid::new("next"),
        ..open()
    };
    write(&mut compiler, new_life);
    assert_eq!(reason(&mut compiler, 0), GrantReason::Active);
}

#[test]
fn a_grant_that_is_used_up_gives_nothing_more_until_its_spec_is_another() {
    let mut compiler = Compiler::default();
    let few = grant("team/few", "team/bot");
    compiler.replace(
        Written::default()
            .with_identity(identity("team/bot"))
            .with_grant(few.clone()),
    );
    compiler.compile(at(0));
    let reason = |compiler: &Compiler| compiler.desired().grants[&few.key].reason;
    assert_eq!(reason(&compiler), GrantReason::Active);
    compiler.use_up(&few.key, &few.uid, &few.spec_hash);
    let delta = compiler.compile(at(1));
    assert!(delta.grants.contains(&few.key) && delta.agents.contains(&few.identity));
    assert_eq!(reason(&compiler), GrantReason::UsedUp);

    // Written again, and in a later process, it is used up still.
    let mut later = Compiler::with_history(compiler.history().clone());
    later.replace(compiler.written().clone());
    later.compile(at(2));
    assert_eq!(reason(&later), GrantReason::UsedUp);
    let more = Grant {
        spec_hash: spec(9),
        ..few.clone()
    };
    later.apply(Change::Grant(few.key.clone(), Some(more)));
    later.compile(at(3));
    assert_eq!(reason(&later), GrantReason::Active);
}

use super::*;
use crate::sample::{at, grant, key, spec};

fn uid() -> Uid {
    grant("team/g", "team/bot").uid
}

fn ready(minute: i64) -> Past {
    Past {
        activated_at: Some(at(minute)),
        ..Past::default()
    }
}

#[test]
fn what_is_known_is_never_softened() {
    let mut history = History::default();
    let (key, uid, spec) = (key("team/g"), uid(), spec(1));
    let ended = Past {
        ended_at: Some(at(9)),
        used_up: true,
        ..ready(0)
    };
    history.remember(&key, &uid, &spec, ended);
    let softer = Past {
        activated_at: Some(at(5)),
        ended_at: Some(at(3)),
        used_up: false,
    };
    history.remember(&key, &uid, &spec, softer);
    history.remember(&key, &uid, &spec, Past::default());
    assert_eq!(history.past_of(&key, &uid, &spec), ended);
    history.remember(&key, &uid, &spec, ready(-1));
    assert_eq!(
        history.past_of(&key, &uid, &spec).activated_at,
        Some(at(-1))
    );
}

#[test]
fn another_spec_is_as_old_and_another_life_has_no_part_in_it() {
    let mut history = History::default();
    let ended = Past {
        ended_at: Some(at(3)),
        ..ready(0)
    };
    history.remember(&key("team/g"), &uid(), &spec(1), ended);
    let nothing = Past::default();
    let as_old = history.past_of(&key("team/g"), &uid(), &spec(2));
    assert_eq!(as_old, ready(0), "the end belongs to the spec alone");
    let other = Uid::new("other");
    assert_eq!(history.past_of(&key("team/g"), &other, &spec(1)), nothing);
    assert_eq!(history.past_of(&key("team/h"), &uid(), &spec(1)), nothing);
}

#[test]
fn editing_again_and_again_neither_fills_memory_nor_starts_anew() {
    let mut history = History::default();
    for number in 0..200 {
        let past = ready(i64::from(number));
        history.remember(&key("team/g"), &uid(), &spec(number), past);
    }
    assert_eq!(
        history.lives[&key("team/g")][0].specs.len(),
        History::MOST_SPECS
    );
    for number in 0..=255 {
        let past = history.past_of(&key("team/g"), &uid(), &spec(number));
        assert_eq!(past, ready(0), "spec {number} began anew");
    }
}

#[test]
fn a_life_that_is_over_is_remembered_until_too_many_are() {
    let mut history = History::default();
    let name = |number: usize| key(&format!("team/g{number}"));
    for number in 0..=History::MOST_OVER {
        history.remember(&name(number), &uid(), &spec(1), ready(0));
        history.bury(&name(number), &uid());
    }
    assert_eq!(history.lives.len(), History::MOST_OVER);
    assert_eq!(history.past_of(&name(0), &uid(), &spec(1)), Past::default());
    assert_eq!(history.past_of(&name(1), &uid(), &spec(1)), ready(0));
}

#[test]
fn a_life_that_came_back_is_not_forgotten() {
    let mut history = History::default();
    let written = grant("team/g", "team/bot");
    history.remember(&written.key, &written.uid, &written.spec_hash, ready(0));
    history.bury(&written.key, &written.uid);
    assert_eq!(history.admit(written.clone()).activated_at, Some(at(0)));
    let name = |number: usize| key(&format!("team/x{number}"));
    for number in 0..=History::MOST_OVER {
        history.remember(&name(number), &uid(), &spec(1), ready(0));
        history.bury(&name(number), &uid());
    }
    assert_eq!(history.recall(written).activated_at, Some(at(0)));
}

#[test]
fn what_goes_and_comes_back_again_and_again_takes_no_room_from_others() {
    let mut history = History::default();
    let written = grant("team/g", "team/bot");
    history.remember(&key("team/old"), &uid(), &spec(1), ready(0));
    history.remember(&written.key, &written.uid, &written.spec_hash, ready(0));
    history.bury(&key("team/old"), &uid());
    for _ in 0..=History::MOST_OVER {
        history.bury(&written.key, &written.uid);
        history.bury(&written.key, &written.uid);
        history.admit(written.clone());
    }
    assert_eq!(
        history.past_of(&key("team/old"), &uid(), &spec(1)),
        ready(0)
    );
    assert_eq!(history.over.len(), 1);
}

#[test]
fn what_is_revoked_stays_so_for_its_life_whatever_its_spec() {
    let mut history = History::default();
    let written = grant("team/g", "team/bot");
    let revoked = Grant {
        revoked: true,
        spec_hash: spec(2),
        ..written.clone()
    };
    assert!(!history.admit(written.clone()).revoked);
    history.admit(revoked);
    assert!(history.admit(written.clone()).revoked);
    let new_life = Grant {
        uid: Uid::new("new"),
        ..written
    };
    assert!(!history.admit(new_life).revoked);
}

//! Whether those who asked for grants may grant them: what is known of it, and what has to be asked.
//!
//! The right is looked up when a grant is first seen, every few minutes until it begins, and whenever the
//! object changes. A grant that had begun before this process did, as its status says, was looked at then.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lanyard_access::object::{ObjectKey, Uid};

/// How long after a failed look-up it is tried again.
pub const RETRY: Duration = Duration::from_secs(5);
/// How long an answer is good for a grant that has not begun.
pub const FRESH: Duration = Duration::from_mins(5);

/// Who asked for a grant, as admission wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The name that the API server knows.
    pub user: String,
    /// And the groups.
    pub groups: Vec<String>,
}

/// What has to be asked: may `requester` `grant` on the identity and `use` the credential?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The grant.
    pub grant: ObjectKey,
    /// This life of it.
    pub uid: Uid,
    /// And this form.
    pub generation: i64,
    /// Who asked for it.
    pub requester: Requester,
    /// The identity.
    pub identity: ObjectKey,
    /// The credential, if it uses one.
    pub credential: Option<ObjectKey>,
}

/// What is known of one grant's requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Unknown,
    /// They may.
    Allowed,
    /// They may not.
    Refused,
}

/// What is known of all.
#[derive(Debug, Default)]
pub struct Reviews {
    known: BTreeMap<ObjectKey, Review>,
    due: BTreeSet<(Instant, ObjectKey)>,
}

#[derive(Debug)]
struct Review {
    question: Question,
    verdict: Verdict,
    has_begun: bool,
    /// When to ask next.
    due: Option<Instant>,
}

impl Reviews {
    /// Notes a grant as it is now. `has_begun`: it was looked at when it began.
    pub fn put(&mut self, question: Question, has_begun: bool, now: Instant) -> Verdict {
        let key = question.grant.clone();
        if let Some(known) = self.known.get_mut(&key)
            && known.question == question
        {
            let verdict = known.verdict;
            if has_begun && !std::mem::replace(&mut known.has_begun, true) {
                self.schedule(&key, None);
            }
            return verdict;
        }
        let old = self.known.get(&key);
        let old = old.filter(|old| old.question.uid == question.uid);
        // What holds is not interrupted while it is asked again on behalf of the same user.
        let is_same = old.is_none_or(|old| {
            old.verdict == Verdict::Allowed && old.question.requester == question.requester
        });
        let is_settled = has_begun && old.is_none();
        let verdict = if has_begun && is_same {
            Verdict::Allowed
        } else {
            Verdict::Unknown
        };
        self.remove(&key);
        let review = Review {
            question,
            verdict,
            has_begun,
            due: None,
        };
        self.known.insert(key.clone(), review);
        if !is_settled {
            self.schedule(&key, Some(now));
        }
        verdict
    }

    /// A grant is gone, or gives nothing anyway.
    pub fn remove(&mut self, key: &ObjectKey) {
        self.schedule(key, None);
        self.known.remove(key);
    }

    /// The next question that is due. It comes back if no answer does.
    pub fn next(&mut self, now: Instant) -> Option<Question> {
        let (at, key) = self.due.first()?.clone();
        if at > now {
            return None;
        }
        self.schedule(&key, Some(now + RETRY));
        self.known.get(&key).map(|review| review.question.clone())
    }

    /// An answer. The verdict, if it is about the grant as it is now and says something new.
    pub fn answer(&mut self, question: &Question, allowed: bool, now: Instant) -> Option<Verdict> {
        let key = &question.grant;
        let review = self.known.get_mut(key)?;
        if review.question != *question {
            return None;
        }
        let verdict = if allowed {
            Verdict::Allowed
        } else {
            Verdict::Refused
        };
        let is_new = review.verdict != verdict;
        review.verdict = verdict;
        let next = (!review.has_begun).then_some(now + FRESH);
        self.schedule(key, next);
        is_new.then_some(verdict)
    }

    fn schedule(&mut self, key: &ObjectKey, at: Option<Instant>) {
        let Some(review) = self.known.get_mut(key) else {
            return;
        };
        if let Some(old) = review.due.take() {
            self.due.remove(&(old, key.clone()));
        }
        review.due = at;
        if let Some(at) = at {
            self.due.insert((at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(generation: i64) -> Question {
        Question {
            grant: "team/g".parse().unwrap(),
            uid: Uid::new("u"),
            generation,
            requester: Requester {
                user: "bob".into(),
                groups: Vec::new(),
            },
            identity: "team/bot".parse().unwrap(),
            credential: None,
        }
    }

    #[test]
    fn a_new_grant_waits_for_an_answer_and_a_change_for_another() {
        let now = Instant::now();
        let mut reviews = Reviews::default();
        assert_eq!(reviews.put(question(1), false, now), Verdict::Unknown);
        let asked = reviews.next(now).unwrap();
        assert_eq!(reviews.next(now), None, "asked once");
        assert_eq!(reviews.answer(&asked, true, now), Some(Verdict::Allowed));
        assert_eq!(reviews.put(question(1), false, now), Verdict::Allowed);
        assert_eq!(
            reviews.put(question(2), true, now),
            Verdict::Allowed,
            "not interrupted"
        );
        assert_eq!(
            reviews.answer(&asked, false, now),
            None,
            "about an older form"
        );
        let asked = reviews.next(now).unwrap();
        assert_eq!(reviews.answer(&asked, false, now), Some(Verdict::Refused));
        assert_eq!(reviews.put(question(2), true, now), Verdict::Refused);
        let mut other = question(2);
        other.requester.user = "eve".into();
        assert_eq!(reviews.put(other, true, now), Verdict::Unknown);
    }

    #[test]
    fn what_has_begun_before_this_process_did_is_not_asked_again() {
        let now = Instant::now();
        let mut reviews = Reviews::default();
        assert_eq!(reviews.put(question(1), true, now), Verdict::Allowed);
        assert_eq!(reviews.next(now + FRESH), None);
    }

    #[test]
    fn a_question_without_an_answer_comes_back() {
        let now = Instant::now();
        let mut reviews = Reviews::default();
        reviews.put(question(1), false, now);
        assert!(reviews.next(now).is_some());
        assert!(reviews.next(now + RETRY).is_some());
        reviews.remove(&"team/g".parse().unwrap());
        assert!(reviews.next(now + 2 * RETRY).is_none());
    }

    #[test]
    fn an_answer_grows_old_until_the_grant_has_begun() {
        let now = Instant::now();
        let mut reviews = Reviews::default();
        reviews.put(question(1), false, now);
        let asked = reviews.next(now).unwrap();
        reviews.answer(&asked, true, now);
        assert!(reviews.next(now + FRESH).is_some());
        reviews.answer(&asked, true, now + FRESH);
        reviews.put(question(1), true, now + FRESH);
        assert!(reviews.next(now + 9 * FRESH).is_none());
    }
}

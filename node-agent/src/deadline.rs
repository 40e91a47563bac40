//! Deadlines on the boot clock, which only ever move earlier.

use std::collections::BTreeMap;

use lanyard_access::{digest::Sha256Digest, object::Uid};

/// One spec of one life of a grant.
pub type Spec = (Uid, Sha256Digest);

/// The deadline of each spec that was ever in force since the machine started.
///
/// The wall clock says when a grant ends; somebody may set it. Whatever it says later, a deadline of the
/// same spec never moves later, and one that has ended stays ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deadlines(BTreeMap<Spec, u64>);

impl Deadlines {
    /// The deadline of `spec`, in nanoseconds of the boot clock, if the wall clock now says `proposed`.
    pub fn bound(&mut self, spec: &Spec, proposed: u64) -> u64 {
        let deadline = self.0.entry(spec.clone()).or_insert(proposed);
        *deadline = proposed.min(*deadline);
        *deadline
    }

    /// Every deadline, to be kept through a restart within this boot.
    pub const fn all(&self) -> &BTreeMap<Spec, u64> {
        &self.0
    }

    /// Forgets the specs of lives that never come back.
    pub fn retain(&mut self, may_come_back: impl Fn(&Uid) -> bool) {
        self.0.retain(|(uid, _), _| may_come_back(uid));
    }

    /// Takes up what was kept.
    pub fn restore(deadlines: impl IntoIterator<Item = (Spec, u64)>) -> Self {
        Self(deadlines.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(uid: &str) -> Spec {
        (Uid::new(uid), Sha256Digest::new([0; 32]))
    }

    #[test]
    fn a_deadline_moves_earlier_and_never_later() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.bound(&spec("a"), 100), 100);
        assert_eq!(
            deadlines.bound(&spec("a"), 200),
            100,
            "the wall clock was set back"
        );
        assert_eq!(
            deadlines.bound(&spec("a"), 50),
            50,
            "the wall clock was set ahead"
        );
        assert_eq!(deadlines.bound(&spec("a"), 100), 50, "and back again");
        assert_eq!(
            deadlines.bound(&spec("b"), 100),
            100,
            "another grant is another matter"
        );
    }

    #[test]
    fn a_kept_deadline_holds_after_a_restart() {
        let mut before = Deadlines::default();
        before.bound(&spec("a"), 100);
        let mut after = Deadlines::restore(before.all().clone());
        assert_eq!(after.bound(&spec("a"), 200), 100);
    }
}

//! Who leads. One Lease; its holder alone writes status and events.
//!
//! Only the own monotonic clock counts: another's `renewTime` is compared for being another one, never
//! with a clock (notes of client-go's leader election say the same).

use std::time::{Duration, Instant};

/// For how long a lease holds that nobody renews.
pub const DURATION: Duration = Duration::from_secs(15);
/// For how long its holder trusts a renewal: the rest is for calls under way.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How often it is looked at.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// What stands in the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; nobody when empty.
    pub holder: String,
    /// What changes with each renewal.
    pub renewed: String,
}

/// What to do with the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make it, held by us.
    Create,
    /// Take it over.
    Take,
    /// Renew it.
    Renew,
    /// Nothing: somebody else holds it.
    Wait,
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    me: String,
    leads_until: Option<Instant>,
    seen: Option<(Record, Instant)>,
}

impl Election {
    /// Nothing is known yet. `me` is of this life of this process alone.
    pub const fn new(me: String) -> Self {
        Self {
            me,
            leads_until: None,
            seen: None,
        }
    }

    /// Who this is.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// What to do with the Lease that was read at `now`.
    pub fn step(&mut self, found: Option<Record>, now: Instant) -> Step {
        let Some(found) = found else {
            self.seen = None;
            return Step::Create;
        };
        if found.holder == self.me {
            return Step::Renew;
        }
        // What others hold, we do not, whatever we wrote before.
        self.leads_until = None;
        if found.holder.is_empty() {
            self.seen = Some((found, now));
            return Step::Take;
        }
        match &self.seen {
            Some((seen, since)) if *seen == found => {
                if now.saturating_duration_since(*since) >= DURATION {
                    Step::Take
                } else {
                    Step::Wait
                }
            }
            Some(_) | None => {
                self.seen = Some((found, now));
                Step::Wait
            }
        }
    }

    /// The Lease was written for us, by a call that began at `began`.
    pub fn won(&mut self, began: Instant) {
        self.seen = None;
        self.leads_until = Some(began + DEADLINE);
    }

    /// It was given back.
    pub fn released(&mut self) {
        self.leads_until = None;
    }

    /// Whether this replica may write at `now`.
    pub fn leads(&self, now: Instant) -> bool {
        self.leads_until.is_some_and(|until| now < until)
    }

    /// Whether another replica is known to lead.
    pub fn other_leads(&self, now: Instant) -> bool {
        self.seen.as_ref().is_some_and(|(record, since)| {
            !record.holder.is_empty() && now.saturating_duration_since(*since) < DURATION
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(holder: &str, renewed: u64) -> Record {
        Record {
            holder: holder.into(),
            renewed: renewed.to_string(),
        }
    }

    #[test]
    fn a_lease_that_is_renewed_is_left_and_one_that_is_not_is_taken() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut election = Election::new("b".into());
        assert_eq!(election.step(Some(record("a", 1)), at(0)), Step::Wait);
        assert!(election.other_leads(at(1)));
        assert_eq!(election.step(Some(record("a", 2)), at(14)), Step::Wait);
        assert_eq!(election.step(Some(record("a", 2)), at(28)), Step::Wait);
        assert_eq!(election.step(Some(record("a", 2)), at(29)), Step::Take);
        assert!(!election.other_leads(at(29)) && !election.leads(at(29)));
        election.won(at(29));
        assert!(election.leads(at(38)) && !election.leads(at(39)));
        assert_eq!(election.step(Some(record("b", 3)), at(31)), Step::Renew);
    }

    #[test]
    fn what_is_free_or_missing_is_taken_at_once() {
        let now = Instant::now();
        let mut election = Election::new("b".into());
        assert_eq!(election.step(Some(record("", 1)), now), Step::Take);
        assert!(!election.other_leads(now));
        assert_eq!(election.step(None, now), Step::Create);
    }

    #[test]
    fn who_sees_another_holder_leads_no_longer() {
        let now = Instant::now();
        let mut election = Election::new("b".into());
        election.won(now);
        assert_eq!(election.step(Some(record("a", 9)), now), Step::Wait);
        assert!(!election.leads(now) && election.other_leads(now));
        election.won(now);
        election.released();
        assert!(!election.leads(now));
    }

    proptest! {
        /// Two replicas, one Lease with guarded writes, clocks that agree on nothing but their pace, and
        /// calls that take up to three seconds or are lost.
        #[test]
        fn there_are_never_two_leaders(steps in proptest::collection::vec((0..2_usize, 0..4_000_u64, 0..3_000_u64, any::<bool>()), 1..200)) {
            let mut now = Instant::now();
            let mut lease: Option<Record> = None;
            let mut renewals = 0;
            let mut replicas = [Election::new("a".into()), Election::new("b".into())];
            for (who, pause, call, is_lost) in steps {
                now += Duration::from_millis(pause);
                let election = &mut replicas[who];
                let step = election.step(lease.clone(), now);
                let began = now;
                now += Duration::from_millis(call);
                if step != Step::Wait {
                    renewals += 1;
                    lease = Some(record(election.me(), renewals));
                    if !is_lost {
                        election.won(began);
                    }
                }
                prop_assert!(replicas.iter().filter(|election| election.leads(now)).count() < 2);
            }
        }
    }
}

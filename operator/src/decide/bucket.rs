//! How often something may be said about one object.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// One bucket of tokens for each key. Full ones are forgotten.
#[derive(Debug)]
pub struct Buckets<K> {
    size: u32,
    refill: Duration,
    spent: BTreeMap<K, (u32, Instant)>,
}

impl<K: Ord> Buckets<K> {
    /// Each holds `size` tokens, and gets one back every `refill`.
    pub const fn new(size: u32, refill: Duration) -> Self {
        Self {
            size,
            refill,
            spent: BTreeMap::new(),
        }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, key: K, now: Instant) -> bool {
        let (size, refill) = (self.size, self.refill);
        self.spent.retain(|_, (spent, since)| {
            let back = now.saturating_duration_since(*since).as_nanos() / refill.as_nanos().max(1);
            let back = u32::try_from(back).unwrap_or(u32::MAX);
            if back > 0 {
                *spent = spent.saturating_sub(back);
                *since += refill.saturating_mul(back);
            }
            *spent > 0
        });
        let (spent, _) = self.spent.entry(key).or_insert((0, now));
        if *spent >= size {
            return false;
        }
        *spent += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_own_and_gets_them_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut buckets = Buckets::new(2, Duration::from_mins(1));
        assert!(buckets.take("a", at(0)) && buckets.take("a", at(1)));
        assert!(!buckets.take("a", at(2)));
        assert!(buckets.take("b", at(2)));
        assert!(buckets.take("a", at(60)));
        assert!(!buckets.take("a", at(61)));
        assert!(buckets.take("c", at(1000)));
        assert_eq!(buckets.spent.len(), 1, "full buckets are forgotten");
    }
}

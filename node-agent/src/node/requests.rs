//! Requests that brokers have open, so that each has its end in the record even when its broker says no more.

use std::{collections::BTreeMap, rc::Weak};

use lanyard_protocol::record::{Event, GrantRef, Outcome};
use uuid::Uuid;

use super::Node;
use crate::{kernel::clock::Moment, scope::Scope};

/// That a broker is still there: it holds the other side.
pub type Connected = Weak<()>;

/// The intents without an end, each with its scope and the grant that allowed it.
#[derive(Debug, Default)]
pub struct Requests(BTreeMap<Uuid, (u32, GrantRef)>);

impl Requests {
    /// A request was intended.
    pub fn opened(&mut self, intent: Uuid, scope: u32, grant: GrantRef) {
        self.0.insert(intent, (scope, grant));
    }

    /// Its end is recorded.
    pub fn closed(&mut self, intent: Uuid) {
        self.0.remove(&intent);
    }

    /// The grant of one that is open in that scope: each ends once, and for its own scope alone.
    pub fn grant_of(&self, intent: Uuid, scope: u32) -> Option<&GrantRef> {
        let (of, grant) = self.0.get(&intent)?;
        (*of == scope).then_some(grant)
    }

    /// What is open in a scope, which is open no more.
    fn take(&mut self, scope: u32) -> Vec<Uuid> {
        let left = self.0.extract_if(.., |_, (of, _)| *of == scope);
        left.map(|(intent, _)| intent).collect()
    }
}

impl Node {
    /// The broker of a scope is gone, and all that was open with it. How much it carried, it did not tell.
    pub fn broker_gone(&mut self, scope: u32, now: Moment) {
        let reference = self.scopes.get(&scope).map(Scope::reference);
        for intent in self.requests.take(scope) {
            if let Some(reference) = &reference {
                let ended = Event::RequestEnded {
                    scope: reference.clone(),
                    intent,
                    status: None,
                    sent_bytes: 0,
                    received_bytes: 0,
                    outcome: Outcome::BrokerEnded,
                };
                self.record(ended, now);
            }
        }
        self.usage_ended(scope, now);
    }
}

#[cfg(test)]
mod tests {
    use lanyard_access::{digest::Sha256Digest, object::Uid};

    use super::*;

    #[test]
    fn what_is_open_in_a_scope_is_taken_once_and_that_of_others_stays() {
        let grant = GrantRef {
            key: "team/api".parse().unwrap(),
            uid: Uid::new("u"),
            spec_hash: Sha256Digest::new([0; 32]),
        };
        let mut requests = Requests::default();
        let [ended, open, other] = [1, 2, 3].map(Uuid::from_u128);
        for (intent, scope) in [(ended, 7), (open, 7), (other, 8)] {
            requests.opened(intent, scope, grant.clone());
        }
        assert_eq!(requests.grant_of(ended, 7), Some(&grant));
        assert_eq!(requests.grant_of(ended, 8), None);
        requests.closed(ended);
        assert_eq!(requests.grant_of(ended, 7), None);
        assert_eq!(requests.take(7), [open]);
        assert!(requests.take(7).is_empty());
        assert_eq!(requests.take(8), [other]);
    }
}

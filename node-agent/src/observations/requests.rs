//! Which requests an observed agent made under its grants.

use std::collections::{BTreeMap, BTreeSet};

use lanyard_access::object::ObjectKey;
use lanyard_protocol::record::Request;
use serde::{Deserialize, Serialize};

/// How many different requests of one agent are remembered.
const MOST: usize = 1024;
/// The longest path that is remembered.
const LONGEST: usize = 512;

/// Methods and paths, by grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests(BTreeMap<ObjectKey, BTreeSet<(String, String)>>);

impl Requests {
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Methods and paths that were seen under a grant.
    pub fn under(&self, grant: &ObjectKey) -> impl Iterator<Item = (&str, &str)> {
        let seen = self.0.get(grant).into_iter().flatten();
        seen.map(|(method, path)| (method.as_str(), path.as_str()))
    }

    /// Remembers one; nothing when there is no room, else whether it is new.
    pub(super) fn add(&mut self, grant: &ObjectKey, request: &Request) -> Option<bool> {
        let one = (request.method.clone(), request.path.clone());
        if self.0.get(grant).is_some_and(|seen| seen.contains(&one)) {
            return Some(false);
        }
        let count: usize = self.0.values().map(BTreeSet::len).sum();
        if count >= MOST || one.0.len() + one.1.len() > LONGEST {
            return None;
        }
        Some(self.0.entry(grant.clone()).or_default().insert(one))
    }
}

//! What observed agents did: where their processes went, and which names they asked for.
//!
//! Everything is bounded: what finds no room is counted, and `lanyard suggest` says so.

mod file;
mod requests;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

use lanyard_access::{
    evidence::EvidenceLevel,
    host::DnsName,
    object::ObjectKey,
    reason::{AttestationReason, ConnectionReason},
};
use lanyard_protocol::record::{Event, Process, Request, ScopeRef, Transport};
use serde::{Deserialize, Serialize};

pub use self::requests::Requests;
use self::told::Told;
use crate::{refusals::Described, suggest::document::readable};

/// How many agents are remembered.
const MOST_AGENTS: usize = 256;
/// How many destinations of one agent.
const MOST_DESTINATIONS: usize = 2048;
/// How many other things of one agent.
const MOST_NOTICES: usize = 256;

/// Where a process went.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Destination {
    /// The name the scope was last told for the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DnsName>,
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// How.
    pub transport: Transport,
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = SocketAddr::new(self.address, self.port);
        let transport = match self.transport {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        };
        match &self.name {
            Some(name) => write!(formatter, "{name} at {address} over {transport}"),
            None => write!(formatter, "{address} over {transport}"),
        }
    }
}

/// Who went there: of all that did, the best known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// How well it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<EvidenceLevel>,
    /// Why it was known no better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AttestationReason>,
    /// The path of its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Where to.
    pub destination: Destination,
    /// How well the process is known.
    pub level: Option<EvidenceLevel>,
    /// Why it is known no better.
    pub reason: Option<AttestationReason>,
    /// The path of its file.
    pub path: Option<String>,
}

/// What one agent did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Observed {
    destinations: Vec<(Destination, Seen)>,
    notices: BTreeSet<(String, Option<String>)>,
    #[serde(default, skip_serializing_if = "Requests::is_empty")]
    requests: Requests,
    /// What found no room.
    more: u64,
}

impl Observed {
    /// Where its processes went.
    pub fn destinations(&self) -> impl Iterator<Item = &(Destination, Seen)> {
        self.destinations.iter()
    }

    /// What they asked for under their grants.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// What else they tried that no grant can cover.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let notices = self.notices.iter().map(|(reason, path)| match path {
            Some(path) => format!("the unix socket {} ({reason})", readable(path)),
            None => format!("something that only an observed agent may do ({reason})"),
        });
        let more = (self.more > 0).then(|| format!("{} more that found no room", self.more));
        notices.chain(more)
    }

    fn connected(&mut self, connected: Connected) -> bool {
        let Connected {
            destination,
            level,
            reason,
            path,
        } = connected;
        let new = Seen {
            level,
            reason,
            path,
        };
        match self
            .destinations
            .binary_search_by(|(known, _)| known.cmp(&destination))
        {
            Ok(place) => {
                let known = &mut self.destinations[place].1;
                let is_better = new.level > known.level;
                if is_better {
                    *known = new;
                }
                is_better
            }
            Err(_) if self.destinations.len() >= MOST_DESTINATIONS => {
                self.more += 1;
                false
            }
            Err(place) => {
                self.destinations.insert(place, (destination, new));
                true
            }
        }
    }
}

/// What all observed agents did, and which names their scopes were told.
#[derive(Debug, Default)]
pub struct Observations {
    agents: BTreeMap<ObjectKey, Observed>,
    told: Told,
    is_changed: bool,
}

impl Observations {
    /// What one agent did.
    pub fn of(&self, agent: &ObjectKey) -> Observed {
        self.agents.get(agent).cloned().unwrap_or_default()
    }

    /// A process of an observed agent connected where nothing lets it.
    pub fn connected(&mut self, agent: &ObjectKey, connected: Connected) {
        if let Some(observed) = self.agent(agent) {
            let is_new = observed.connected(connected);
            self.is_changed |= is_new;
        }
    }

    /// A process of an observed agent did something else that would be refused.
    pub fn noticed(&mut self, agent: &ObjectKey, reason: ConnectionReason, path: Option<&str>) {
        let Some(observed) = self.agent(agent) else {
            return;
        };
        let notice = (reason.to_string(), path.map(str::to_owned));
        if observed.notices.len() < MOST_NOTICES {
            let is_new = observed.notices.insert(notice);
            self.is_changed |= is_new;
        } else if !observed.notices.contains(&notice) {
            observed.more += 1;
        }
    }

    /// A process of an observed agent made a request under a grant.
    pub fn requested(&mut self, agent: &ObjectKey, grant: &ObjectKey, request: &Request) {
        let Some(observed) = self.agent(agent) else {
            return;
        };
        match observed.requests.add(grant, request) {
            Some(is_new) => self.is_changed |= is_new,
            None => observed.more += 1,
        }
    }

    /// The scope with that number was told these addresses for a name that nothing grants. True once a minute:
    /// then it is worth a record.
    pub fn name_told(&mut self, scope: u32, name: &DnsName, addresses: &[IpAddr], at: u64) -> bool {
        self.told.name(scope, name, addresses, at)
    }

    /// Forgets which names a scope was told.
    pub fn forget_scope(&mut self, scope: u32) {
        self.told.forget(scope);
    }

    /// Remembers what the kernel let pass in the observed scope of that number, and gives the record of it
    /// when it was a connection.
    pub fn passed(
        &mut self,
        number: u32,
        scope: ScopeRef,
        process: Process,
        described: Described,
    ) -> Option<Event> {
        let (Some(destination), Some(transport)) = (described.destination, described.transport)
        else {
            self.noticed(&scope.agent, described.reason, described.path.as_deref());
            return None;
        };
        let told = self.told.name_of(number, destination.ip());
        let name = described.name.or_else(|| told.cloned());
        let connected = Connected {
            destination: Destination {
                name: name.clone(),
                address: destination.ip(),
                port: destination.port(),
                transport,
            },
            level: process.level,
            reason: process.reason,
            path: process.path.clone(),
        };
        self.connected(&scope.agent, connected);
        Some(Event::ConnectionObserved {
            scope,
            process,
            destination,
            transport,
            name,
            reason: described.reason,
        })
    }

    fn agent(&mut self, agent: &ObjectKey) -> Option<&mut Observed> {
        if !self.agents.contains_key(agent) && self.agents.len() >= MOST_AGENTS {
            return None;
        }
        Some(self.agents.entry(agent.clone()).or_default())
    }
}

#[cfg(test)]
mod tests;

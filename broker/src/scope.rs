//! What the node agent says of the scope, as checked types.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use jiff::Timestamp;
use lanyard_access::{
    desired::{DesiredAgent, LiveGrant},
    host::{DnsName, Host, ParseHostError},
    identity::{Enforcement, ProcessAccess},
    object::{ObjectKey, ParseObjectKeyError, Uid},
};
use lanyard_protocol::{
    broker::{self, NameBinding, ScopeState},
    granted::{self, GrantError},
    record::{GrantRef, ScopeRef},
};
use thiserror::Error;

/// How many grants, and how many names, a scope may have.
pub const MOST: usize = 16_384;

/// All that the broker works from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// How records name it.
    pub reference: ScopeRef,
    /// The agent and its live grants; their ends are on the boot clock (see [`crate::clock`]).
    pub agent: DesiredAgent,
    /// The names it may resolve.
    pub names: Names,
    /// The proxy through which services with a name are reached.
    pub upstream_proxy: Option<UpstreamProxy>,
}

/// A proxy that opens tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// A name or an address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// Whether it wants a user name and a password.
    pub has_secret: bool,
    /// Names that are reached without it, and all below them.
    pub except: Vec<DnsName>,
}

impl UpstreamProxy {
    /// Whether a service of that name is reached through it.
    pub fn is_for(&self, name: &DnsName) -> bool {
        let name = name.as_str();
        !self.except.iter().any(|except| {
            let above = name.strip_suffix(except.as_str());
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }

    fn read(told: &broker::UpstreamProxy) -> Result<Self, ScopeError> {
        let except = told.except.iter().map(|name| name.parse());
        Ok(Self {
            host: told.host.parse().map_err(ScopeError::Proxy)?,
            port: u16::try_from(told.port).map_err(|_| ScopeError::ProxyPort(told.port))?,
            has_secret: told.has_secret,
            except: except
                .collect::<Result<_, _>>()
                .map_err(ScopeError::Proxy)?,
        })
    }
}

/// Names and the virtual addresses bound to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    by_name: BTreeMap<DnsName, Addresses>,
    by_address: BTreeMap<IpAddr, DnsName>,
}

/// The virtual addresses of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

/// Why a state is not understood. The broker ends then: it must not go on with half of one.
#[derive(Debug, Error)]
pub enum ScopeError {
    /// The key of the agent is none.
    #[error("the agent's {0}")]
    Agent(ParseObjectKeyError),
    /// There are more grants or names than are taken.
    #[error("{0} grants or names are more than {MOST}")]
    TooMany(usize),
    /// A grant is not understood.
    #[error("grant `{0}`: {1}")]
    Grant(String, GrantError),
    /// A name is none.
    #[error("bound name: {0}")]
    Name(ParseHostError),
    /// A virtual address has a wrong length.
    #[error("the addresses of `{0}` are not 4 and 16 bytes")]
    Address(DnsName),
    /// The proxy's host, or a name that is reached without it, is none.
    #[error("the machine's proxy: {0}")]
    Proxy(ParseHostError),
    /// The proxy's port is none.
    #[error("{0} is no port of a proxy")]
    ProxyPort(u32),
    /// Two names are bound to one address, or one name twice.
    #[error("`{0}` is bound twice, or to an address that another name has")]
    BoundTwice(DnsName),
}

impl Scope {
    /// Whether nothing is refused to this agent.
    pub fn is_observed(&self) -> bool {
        self.agent.enforcement == Enforcement::Observe
    }

    /// Whether that life of a grant still gives access at `now`, a time of the boot clock.
    pub fn holds(&self, grant: &GrantRef, now: Timestamp) -> bool {
        self.agent.grants.iter().any(|live| {
            live.uid == grant.uid && live.spec_hash == grant.spec_hash && live.ends_at > now
        })
    }

    /// When the next grant ends after `now`.
    pub fn next_end(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.agent.grants.iter().map(|grant| grant.ends_at);
        ends.filter(|end| *end > now).min()
    }
}

impl Names {
    /// The addresses of a name.
    pub fn addresses(&self, name: &DnsName) -> Option<Addresses> {
        self.by_name.get(name).copied()
    }

    /// The name that an address stands for.
    pub fn name(&self, address: IpAddr) -> Option<&DnsName> {
        self.by_address.get(&address)
    }

    /// Every name.
    pub fn all(&self) -> BTreeSet<DnsName> {
        self.by_name.keys().cloned().collect()
    }

    fn bind(&mut self, binding: NameBinding) -> Result<(), ScopeError> {
        let name: DnsName = binding.name.parse().map_err(ScopeError::Name)?;
        let v4 = <[u8; 4]>::try_from(binding.v4);
        let v6 = <[u8; 16]>::try_from(binding.v6);
        let (Ok(v4), Ok(v6)) = (v4, v6) else {
            return Err(ScopeError::Address(name));
        };
        let addresses = Addresses {
            v4: v4.into(),
            v6: v6.into(),
        };
        for address in [IpAddr::V4(addresses.v4), IpAddr::V6(addresses.v6)] {
            if self.by_address.insert(address, name.clone()).is_some() {
                return Err(ScopeError::BoundTwice(name));
            }
        }
        match self.by_name.insert(name.clone(), addresses) {
            None => Ok(()),
            Some(_) => Err(ScopeError::BoundTwice(name)),
        }
    }
}

impl TryFrom<ScopeState> for Scope {
    type Error = ScopeError;

    fn try_from(state: ScopeState) -> Result<Self, ScopeError> {
        let count = state.grants.len().max(state.names.len());
        if count > MOST {
            return Err(ScopeError::TooMany(count));
        }
        let key: ObjectKey = state.agent.parse().map_err(ScopeError::Agent)?;
        let mut names = Names::default();
        for binding in state.names {
            names.bind(binding)?;
        }
        let grants = state.grants.into_iter().map(|grant| {
            let key = grant.key.clone();
            granted::decode(grant).map_err(|error| ScopeError::Grant(key, error))
        });
        let mut grants = grants.collect::<Result<Vec<_>, _>>()?;
        grants.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self {
            reference: ScopeRef {
                name: state.scope,
                agent: key.clone(),
                uid: state.uid,
            },
            agent: DesiredAgent {
                key,
                uid: Uid::new(state.agent_uid),
                processes: Vec::new(),
                enforcement: if state.observed {
                    Enforcement::Observe
                } else {
                    Enforcement::Enforce
                },
                process_access: ProcessAccess::None,
                grants,
            },
            names,
            upstream_proxy: state
                .upstream_proxy
                .as_ref()
                .map(UpstreamProxy::read)
                .transpose()?,
        })
    }
}

/// How records name a grant.
pub fn reference(grant: &LiveGrant) -> GrantRef {
    GrantRef {
        key: grant.key.clone(),
        uid: grant.uid.clone(),
        spec_hash: grant.spec_hash,
    }
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::broker::{self, BearerInjection, Injection, Level, Protocol, injection};

    use super::*;

    fn grant() -> broker::Grant {
        broker::Grant {
            key: "default/api".into(),
            uid: "u1".into(),
            spec_hash: vec![7; 32],
            requires: Level::Image.into(),
            host: "api.example.com".into(),
            port: 443,
            protocol: Protocol::Https.into(),
            credential: "default/token".into(),
            injection: Some(Injection {
                way: Some(injection::Way::Bearer(BearerInjection {})),
            }),
            ends_at_boot_ns: 5_000_000_000,
            ..broker::Grant::default()
        }
    }

    fn binding(name: &str, last: u8) -> NameBinding {
        let mut v6 = vec![0xfd; 16];
        v6[15] = last;
        NameBinding {
            name: name.into(),
            v4: vec![198, 19, 0, last],
            v6,
        }
    }

    fn state() -> ScopeState {
        ScopeState {
            scope: "7".into(),
            agent: "default/bot".into(),
            agent_uid: "u0".into(),
            grants: vec![grant()],
            names: vec![binding("api.example.com", 1)],
            uid: 1000,
            ..ScopeState::default()
        }
    }

    fn changed(change: impl FnOnce(&mut ScopeState)) -> Result<Scope, ScopeError> {
        let mut state = state();
        change(&mut state);
        state.try_into()
    }

    #[test]
    fn a_state_becomes_checked_types() {
        let scope = changed(|_| ()).unwrap();
        let grant = &scope.agent.grants[0];
        assert_eq!(grant.ends_at, Timestamp::from_second(5).unwrap());
        assert_eq!(grant.resource.ca_bundle, None);
        assert_eq!(scope.reference.uid, 1000);
        assert!(!scope.is_observed());
        assert!(
            changed(|state| state.observed = true)
                .unwrap()
                .is_observed()
        );
        let name = "api.example.com".parse().unwrap();
        let addresses = scope.names.addresses(&name).unwrap();
        assert_eq!(scope.names.name(addresses.v4.into()), Some(&name));
        assert_eq!(scope.names.name(addresses.v6.into()), Some(&name));
    }

    #[test]
    fn a_state_that_is_not_understood_is_refused_whole() {
        type Change = fn(&mut ScopeState);
        let changes: [Change; 7] = [
            |state| state.agent = String::new(),
            |state| state.grants[0].port = 0,
            |state| state.names[0].name = "10.0.0.1".into(),
            |state| state.names[0].v4 = vec![1; 5],
            |state| state.names[0].v6 = Vec::new(),
            |state| state.names.push(binding("api.example.com", 2)),
            |state| state.names.push(binding("other.example.com", 1)),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            assert!(changed(change).is_err(), "change {place} was accepted");
        }
        let many = |state: &mut ScopeState| state.grants = vec![grant(); MOST + 1];
        assert!(matches!(changed(many), Err(ScopeError::TooMany(_))));
    }

    #[test]
    fn a_grant_is_held_until_its_end_and_by_its_very_life() {
        let scope = changed(|_| ()).unwrap();
        let grant = reference(&scope.agent.grants[0]);
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!scope.holds(&grant, at(5)));
        assert!(scope.holds(&grant, at(4)));
        assert_eq!(scope.next_end(at(4)), Some(at(5)));
        assert_eq!(scope.next_end(at(5)), None);

        let again = changed(|state| state.grants[0].uid = "u2".into()).unwrap();
        assert!(!again.holds(&grant, at(4)));
        let other = changed(|state| state.grants[0].spec_hash = vec![8; 32]).unwrap();
        assert!(!other.holds(&grant, at(4)));
        let none = changed(|state| state.grants.clear()).unwrap();
        assert!(!none.holds(&grant, at(4)));
    }
}

//! The grants that would cover what an observed agent was seen to do, as narrow as what was seen. No I/O.

pub mod document;
mod requests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use jiff::Timestamp;
use lanyard_access::{
    decide::{Asks, Decision, Request, decide},
    desired::{DesiredAgent, LiveGrant},
    evidence::EvidenceLevel,
    grant::{Protocol, Tls},
    host::Host,
    http::HttpRule,
    object::ObjectKey,
    port::Port,
};
use lanyard_node_agent_abi::virtual_address::is_virtual;
use lanyard_protocol::record::Transport;

use self::document::{GrantDocument, readable};
use crate::observations::{Destination, Observed, Seen};

/// The port of HTTPS (RFC 9110, 4.2.2).
const HTTPS: u16 = 443;
/// The port of HTTP (RFC 9110, 4.2.1).
const HTTP: u16 = 80;
/// The port of DNS: names are answered in the scope itself.
const DNS: u16 = 53;

/// What is suggested.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suggestion {
    /// The grants, by host, port and protocol.
    pub grants: Vec<GrantDocument>,
    /// What was seen and no grant can cover.
    pub remarks: Vec<String>,
}

/// What a grant would open.
type Opened = (Host, u16, Protocol);

/// What a grant would be made from.
struct Wanted {
    requires: EvidenceLevel,
    allow_private: bool,
    comments: Vec<String>,
}

/// Grants for what `observed` of `agent` its grants do not give it at `now`. Names of `taken` are not used.
pub fn suggest(
    agent: &DesiredAgent,
    observed: &Observed,
    taken: &BTreeSet<ObjectKey>,
    now: Timestamp,
) -> Suggestion {
    let mut wanted: BTreeMap<Opened, Wanted> = BTreeMap::new();
    let mut remarks = Vec::new();
    for (destination, seen) in observed.destinations() {
        match opened(destination) {
            _ if destination.port == DNS => {}
            Ok(opened) => match seen.level {
                Some(level) if is_granted(agent, &opened, level, now) => {}
                Some(level) => want(&mut wanted, opened, destination, seen, level),
                None => remarks.push(without_identity(destination, seen)),
            },
            Err(why) => remarks.push(format!("{}: {why}", was_seen(destination, seen))),
        }
    }
    remarks.extend(observed.remarks());
    let mut taken = taken.clone();
    let mut grants: Vec<GrantDocument> = wanted
        .into_iter()
        .map(|(opened, wanted)| document(agent, opened, wanted, &mut taken))
        .collect();
    for grant in agent.grants.iter().filter(|grant| allows_everything(grant)) {
        let seen = observed.requests().under(&grant.key);
        let found = requests::rules(seen);
        let told = |request: &String| {
            readable(&format!(
                "{request} under {}: no rule can be for it",
                grant.key
            ))
        };
        remarks.extend(found.left_out.iter().map(told));
        if !found.rules.is_empty() {
            grants.push(narrower(agent, grant, found.rules, &mut taken));
        }
    }
    Suggestion { grants, remarks }
}

/// Whether a grant says nothing of requests, so that what was seen can narrow it.
fn allows_everything(grant: &LiveGrant) -> bool {
    let resource = &grant.resource;
    let is_carried = match resource.protocol {
        Protocol::Https => resource.tls == Tls::Terminate,
        Protocol::Http => true,
        Protocol::Mcp | Protocol::Tcp | Protocol::Udp => false,
    };
    is_carried
        && resource.http.is_empty()
        && resource.conditions.is_empty()
        && grant.limits.is_none()
}

/// The same grant with rules.
fn narrower(
    agent: &DesiredAgent,
    grant: &LiveGrant,
    http: Vec<HttpRule>,
    taken: &mut BTreeSet<ObjectKey>,
) -> GrantDocument {
    let resource = &grant.resource;
    let port = resource.port.get();
    let key = free_name(&agent.key, &resource.host, port, resource.protocol, taken);
    taken.insert(key.clone());
    GrantDocument {
        key,
        agent: agent.key.clone(),
        host: resource.host.clone(),
        port,
        protocol: resource.protocol,
        requires: Some(grant.requires),
        http,
        allow_private: resource.allow_private,
        ca_bundle: resource.ca_bundle.clone(),
        credential: grant
            .credential
            .as_ref()
            .map(|credential| credential.source.clone()),
        comments: vec![format!(
            "in place of {}, which allows every request: these are the ones that were seen. Delete that one",
            grant.key
        )],
    }
}

impl Suggestion {
    /// All of it as one text of YAML documents. What only people read stands in comments.
    pub fn yaml(&self, agent: &ObjectKey) -> String {
        let mut text = format!(
            "# What {agent} was seen to do while it was observed, as grants. Read it before you apply it: what an\n# agent did is not yet what it should be allowed to do.\n"
        );
        if self.grants.is_empty() {
            text += "# Nothing was seen that its grants do not cover.\n";
        }
        for remark in &self.remarks {
            text += "# Not covered: ";
            text += remark;
            text.push('\n');
        }
        for grant in &self.grants {
            text += "---\n";
            text += &grant.yaml();
        }
        text
    }
}

/// What would open a destination, or why nothing can.
fn opened(destination: &Destination) -> Result<Opened, &'static str> {
    let Destination {
        name,
        address,
        port,
        transport,
    } = destination;
    let is_unreal = is_virtual(&kernel_address(*address));
    match (name, transport) {
        (Some(name), Transport::Tcp) if *port == HTTPS || is_unreal => {
            Ok((Host::Name(name.clone()), *port, Protocol::Https))
        }
        (Some(name), Transport::Tcp) if *port == HTTP => {
            Ok((Host::Name(name.clone()), *port, Protocol::Http))
        }
        (Some(name), Transport::Tcp) => Ok((Host::Name(name.clone()), *port, Protocol::Tcp)),
        _ if is_unreal => Err("its own address is not known, and a grant for it needs that"),
        _ if address.is_unspecified() => Err("no grant names the address of no host"),
        (_, Transport::Tcp) => Ok((Host::from(*address), *port, Protocol::Tcp)),
        (_, Transport::Udp) => Ok((Host::from(*address), *port, Protocol::Udp)),
    }
}

/// An address as the kernel's maps have it.
pub(crate) fn kernel_address(address: IpAddr) -> [u8; 16] {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.octets()
}

fn is_granted(
    agent: &DesiredAgent,
    (host, port, protocol): &Opened,
    level: EvidenceLevel,
    now: Timestamp,
) -> bool {
    let Ok(port) = Port::new((*port).into()) else {
        return false;
    };
    let request = Request {
        level,
        host,
        port,
        asks: Asks::Protocol(*protocol),
    };
    matches!(decide(agent, &request, now), Decision::Allow(_))
}

/// Of several that were seen, the grant is for the best known: the others are named.
fn want(
    wanted: &mut BTreeMap<Opened, Wanted>,
    opened: Opened,
    destination: &Destination,
    seen: &Seen,
    level: EvidenceLevel,
) {
    let is_name = matches!(opened.0, Host::Name(_));
    let entry = wanted.entry(opened).or_insert_with(|| Wanted {
        requires: level,
        allow_private: false,
        comments: Vec::new(),
    });
    entry.requires = entry.requires.max(level);
    entry.allow_private |= is_name && is_private(destination.address);
    let comment = was_seen(destination, seen);
    if !entry.comments.contains(&comment) {
        entry.comments.push(comment);
    }
    if destination.port == HTTPS && destination.transport == Transport::Udp {
        let quic = "HTTP/3 perhaps: clients fall back to TCP without this grant".to_owned();
        entry.comments.push(quic);
    }
}

fn was_seen(destination: &Destination, seen: &Seen) -> String {
    let program = seen.path.as_deref().unwrap_or("a process");
    let level = match (seen.level, seen.reason) {
        (Some(level), Some(reason)) => format!(", known at the level {level} ({reason})"),
        (Some(level), None) => format!(", known at the level {level}"),
        (None, _) => String::new(),
    };
    readable(&format!("{program}{level}, reached {destination}"))
}

fn without_identity(destination: &Destination, seen: &Seen) -> String {
    let why = seen
        .reason
        .map(|reason| format!(": {}", reason.message()))
        .unwrap_or_default();
    format!("{}, and has no identity{why}", was_seen(destination, seen))
}

/// Addresses that a name may lead to only with `allowPrivate` (RFC 6890).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xc0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn document(
    agent: &DesiredAgent,
    (host, port, protocol): Opened,
    wanted: Wanted,
    taken: &mut BTreeSet<ObjectKey>,
) -> GrantDocument {
    let key = free_name(&agent.key, &host, port, protocol, taken);
    taken.insert(key.clone());
    GrantDocument {
        key,
        agent: agent.key.clone(),
        host,
        port,
        protocol,
        requires: Some(wanted.requires),
        http: Vec::new(),
        allow_private: wanted.allow_private,
        ca_bundle: None,
        credential: None,
        comments: wanted.comments,
    }
}

/// `AGENT-HOST-PORT`, with a number behind it where that is taken.
pub(crate) fn free_name(
    agent: &ObjectKey,
    host: &Host,
    port: u16,
    protocol: Protocol,
    taken: &BTreeSet<ObjectKey>,
) -> ObjectKey {
    /// A name has 253 characters at most; the rest is for port and number.
    const LONGEST: usize = 220;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let host: String = host.to_string().chars().map(plain).collect();
    let words = [agent.name.as_str(), &host].join("-");
    let words = words.split(['-', '.']).filter(|word| !word.is_empty());
    let mut base = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    base.truncate(LONGEST);
    let base = base.trim_end_matches('-');
    let transport = if protocol == Protocol::Udp {
        "-udp"
    } else {
        ""
    };
    (1..=u32::MAX)
        .map(|number| match number {
            1 => format!("{base}-{port}{transport}"),
            _ => format!("{base}-{port}{transport}-{number}"),
        })
        .filter_map(|name| {
            Some(ObjectKey {
                namespace: agent.namespace.clone(),
                name: name.parse().ok()?,
            })
        })
        .find(|key| !taken.contains(key))
        .unwrap_or_else(|| agent.clone())
}

#[cfg(test)]
mod tests;

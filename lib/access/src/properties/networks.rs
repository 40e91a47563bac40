//! Networks in networks: what the kernel finds at the longest prefix is what every grant around an
//! address gives together.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use proptest::{collection, prelude::*, sample::select};

use super::world::HOUR;
use crate::{
    compile::{Change, Compiler, Written, compile},
    decide::{Asks, Decision, Request, decide},
    desired::{DesiredAgent, Destination, Ends, reach},
    evidence::EvidenceLevel,
    grant::{Grant, Protocol},
    host::Host,
    lifetime::Lifetime,
    port::Port,
    reserved::is_reserved,
    sample::{self, at, host, identity, key, port},
};

const HOSTS: [&str; 12] = [
    "0.0.0.0/1",
    "8.0.0.0/5",
    "10.0.0.0/8",
    "10.1.2.0/24",
    "10.1.2.3",
    "169.254.0.0/15",
    "169.254.169.254",
    "127.0.0.1",
    "fc00::/7",
    "fd00:1::/32",
    "fd00:1::1",
    "fd6c:616e:7961:7264::1",
];
const PROBES: [&str; 11] = [
    "10.1.2.3",
    "10.1.2.4",
    "10.9.9.9",
    "9.9.9.9",
    "127.0.0.1",
    "169.255.0.1",
    "169.254.169.254",
    "fd00:1::1",
    "fd00:2::1",
    "fd6c:616e:7961:7264::1",
    "2001:db8::1",
];
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
const PORTS: [i64; 2] = [443, 5432];

fn any_networks() -> impl Strategy<Value = Written> {
    let grant = (
        select(HOSTS.to_vec()),
        select(PROTOCOLS.to_vec()),
        select(PORTS.to_vec()),
        select(EvidenceLevel::ALL.to_vec()),
        HOUR,
    );
    collection::vec(grant, 1..8).prop_map(|grants| {
        let written = Written::default().with_identity(identity("a/x"));
        let numbered = grants.into_iter().enumerate();
        numbered.fold(
            written,
            |written, (number, (host, protocol, number_of_port, level, end))| {
                let mut grant = Grant {
                    resource: sample::resource(host, protocol),
                    requires: Some(level),
                    lifetime: Lifetime::Until(at(end)),
                    ..sample::grant(&format!("a/g{number}"), "a/x")
                };
                grant.resource.port = port(number_of_port);
                written.with_grant(grant)
            },
        )
    })
}

fn agent_of(written: Written) -> DesiredAgent {
    let mut agents = compile(written, at(0)).agents;
    agents.remove(&key("a/x")).unwrap()
}

/// As the kernel looks: the address itself, else the longest network, but never for a reserved address.
fn found<E: Copy + Ord>(
    slots: &BTreeMap<Destination, Ends<E>>,
    address: IpAddr,
    port: Port,
    protocol: Protocol,
) -> Ends<E> {
    let entry = |host: Host| {
        let destination = Destination {
            host,
            port,
            protocol,
        };
        slots.get(&destination).cloned()
    };
    if let Some(ends) = entry(address.into()) {
        return ends;
    }
    if is_reserved(address) {
        return Ends::new();
    }
    let prefix = Host::from(address).prefix().unwrap();
    let mut longest_first = (1..prefix.length()).rev();
    longest_first
        .find_map(|length| entry(Host::Network(prefix.widened(length))))
        .unwrap_or_default()
}

/// Every address, port and protocol that is looked at.
fn probes() -> impl Iterator<Item = (IpAddr, Port, Protocol)> {
    PROBES.into_iter().flat_map(|address| {
        PORTS.into_iter().flat_map(move |number| {
            PROTOCOLS.map(|protocol| (address.parse().unwrap(), port(number), protocol))
        })
    })
}

/// What each covering grant gives, one by one.
fn given(agent: &DesiredAgent, address: IpAddr, port: Port, protocol: Protocol) -> Ends<Timestamp> {
    let mut ends = Ends::new();
    for level in EvidenceLevel::ALL {
        let usable = agent.grants.iter().filter(|grant| {
            let resource = &grant.resource;
            grant.requires <= level
                && resource.port == port
                && resource.protocol == protocol
                && (resource.host == Host::from(address)
                    || matches!(&resource.host, Host::Network(network)
                        if network.contains(address) && !is_reserved(address)))
        });
        if let Some(end) = usable.map(|grant| grant.ends_at).max() {
            ends.insert(level, end);
        }
    }
    ends
}

proptest! {
    #[test]
    fn the_longest_prefix_has_what_the_grants_around_it_give_and_no_more(written in any_networks()) {
        let agent = agent_of(written);
        let slots = agent.slots();
        for (address, port, protocol) in probes() {
            prop_assert_eq!(
                found(&slots, address, port, protocol),
                given(&agent, address, port, protocol),
                "{} {} {:?}", address, port, protocol
            );
        }
    }

    #[test]
    fn a_request_is_answered_as_the_kernel_answers(written in any_networks(), later in HOUR) {
        let agent = agent_of(written);
        let slots = agent.slots();
        for (address, port, protocol) in probes() {
            let ends = found(&slots, address, port, protocol);
            for level in EvidenceLevel::ALL {
                let host = Host::from(address);
                let request = Request { level, host: &host, port, asks: Asks::Protocol(protocol) };
                let is_allowed = matches!(decide(&agent, &request, at(later)), Decision::Allow(_));
                let is_open = ends.get(&level).is_some_and(|end| *end > at(later));
                prop_assert_eq!(is_allowed, is_open, "{} {} {:?} {}", address, port, protocol, level);
            }
        }
    }

    #[test]
    fn revoking_a_network_leaves_exactly_the_others(written in any_networks(), number in 0..8_usize) {
        let revoked = written.grants.keys().cycle().nth(number).cloned().unwrap();
        let mut without = written.clone();
        without.grants.remove(&revoked);
        let mut compiler = Compiler::default();
        compiler.replace(written.clone());
        compiler.compile(at(0));
        let grant = Grant { revoked: true, ..written.grants[&revoked].clone() };
        compiler.apply(Change::Grant(revoked, Some(grant)));
        compiler.compile(at(0));
        let left = compiler.desired().agents[&key("a/x")].slots();
        prop_assert_eq!(left, agent_of(without).slots());
    }

    #[test]
    fn ends_of_another_clock_meet_in_the_same_way(written in any_networks()) {
        let agent = agent_of(written);
        let seconds = agent.grants.iter().map(|grant| (grant, grant.ends_at.as_second()));
        let in_seconds = agent.slots().into_iter().map(|(destination, ends)| {
            let ends = ends.into_iter().map(|(level, end)| (level, end.as_second()));
            (destination, ends.collect::<Ends<i64>>())
        });
        prop_assert_eq!(reach(seconds), in_seconds.collect());
    }
}

#[test]
fn an_address_within_two_networks_is_open_as_long_as_the_longest_grant() {
    let until = |name: &str, to: &str, end| {
        let mut grant = Grant {
            resource: sample::resource(to, Protocol::Tcp),
            lifetime: Lifetime::Until(at(end)),
            ..sample::grant(name, "a/x")
        };
        grant.requires = Some(EvidenceLevel::Image);
        grant
    };
    let written = Written::default()
        .with_identity(identity("a/x"))
        .with_grant(until("a/wide", "10.0.0.0/8", 30))
        .with_grant(until("a/narrow", "10.1.0.0/16", 10))
        .with_grant(until("a/one", "10.1.2.3", 5));
    let slots = agent_of(written).slots();
    let image_end = |to: &str| {
        let destination = Destination {
            host: host(to),
            port: port(443),
            protocol: Protocol::Tcp,
        };
        slots[&destination][&EvidenceLevel::Image]
    };
    for to in ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"] {
        assert_eq!(image_end(to), at(30), "{to}");
    }
}

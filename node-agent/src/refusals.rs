//! What the kernel refused, told once and in people's terms.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use lanyard_access::{host::DnsName, reason::ConnectionReason};
use lanyard_node_agent_abi::{cause::Cause, event::RefusalEvent, unix};
use lanyard_protocol::record::Transport;

use crate::names::Names;

/// How long the same refusal of the same image is not told again, in nanoseconds.
const QUIET: u64 = 1_000_000_000;
/// How many different refusals of one scope are told apart.
const MOST: usize = 512;

type Same = (u64, u32, [u8; 16], u16, u16, [u8; unix::PATH]);

/// `IPPROTO_TCP` and `IPPROTO_UDP`, include/uapi/linux/in.h.
const TCP: u16 = 6;
const UDP: u16 = 17;

/// How many refusals of one scope are told in one second; the kernel counts them all.
const BUDGET: u32 = 100;

/// Tells news from repetition: a program that tries again and again makes one record a second, and one that
/// tries everything there is makes no more than its scope's budget.
#[derive(Debug, Default)]
pub struct Refusals {
    /// By scope: what was told, and when.
    told: BTreeMap<u32, BTreeMap<Same, u64>>,
    /// By scope: the second, and how many were told in it.
    spent: BTreeMap<u32, (u64, u32)>,
}

impl Refusals {
    /// Whether this refusal was not told within the last second.
    pub fn is_news(&mut self, event: &RefusalEvent) -> bool {
        let told = self.told.entry(event.scope).or_default();
        if told.len() >= MOST {
            told.retain(|_, told| event.at.saturating_sub(*told) < QUIET);
        }
        let same = (
            event.exec_id,
            event.cause,
            event.address,
            event.port,
            event.protocol,
            event.path,
        );
        let before = told.get(&same).copied();
        let is_repeated = before.is_some_and(|told| event.at.saturating_sub(told) < QUIET);
        if is_repeated || told.len() >= MOST || !self.is_within_budget(event.scope, event.at) {
            return false;
        }
        self.told
            .entry(event.scope)
            .or_default()
            .insert(same, event.at);
        true
    }

    /// Forgets a scope that has ended.
    pub fn forget_scope(&mut self, scope: u32) {
        self.told.remove(&scope);
        self.spent.remove(&scope);
    }

    /// Whether one more refusal of a scope is told at that moment of the boot clock; if so, it counts.
    pub fn is_within_budget(&mut self, scope: u32, at: u64) -> bool {
        let second = at / QUIET;
        let spent = self.spent.entry(scope).or_insert((second, 0));
        if spent.0 != second {
            *spent = (second, 0);
        }
        spent.1 += 1;
        spent.1 <= BUDGET
    }
}

/// A refusal in people's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Where to.
    pub destination: Option<SocketAddr>,
    /// The name that address stands for.
    pub name: Option<DnsName>,
    /// Why.
    pub reason: ConnectionReason,
    /// Whether the process, and not the destination, is the reason.
    pub is_about_identity: bool,
    /// The path of a unix socket; of an abstract one with `@` before its name.
    pub path: Option<String>,
    /// How, when it is known.
    pub transport: Option<Transport>,
}

/// Describes a refusal of a scope with these names.
pub fn describe(event: &RefusalEvent, names: &Names) -> Described {
    let cause = Cause::from_number(event.cause);
    let reason = cause.map_or(ConnectionReason::Untagged, reason_of);
    let is_unix = reason == ConnectionReason::UnixSocket;
    let destination = (event.port != 0).then(|| socket_address(event.address, event.port));
    Described {
        destination,
        name: names.name_of(event.address).cloned(),
        reason,
        is_about_identity: reason == ConnectionReason::NoIdentity,
        path: is_unix.then(|| socket_path(&event.path)),
        transport: match event.protocol {
            TCP => Some(Transport::Tcp),
            UDP => Some(Transport::Udp),
            _ => None,
        },
    }
}

const fn reason_of(cause: Cause) -> ConnectionReason {
    match cause {
        Cause::NoProcess | Cause::ImageRefused | Cause::HeldTooLong => ConnectionReason::NoIdentity,
        Cause::NoGrant => ConnectionReason::NoGrant,
        Cause::GrantEnded => ConnectionReason::GrantEnded,
        Cause::SocketKind => ConnectionReason::SocketKind,
        Cause::NoBroker => ConnectionReason::NoBroker,
        Cause::MapFull => ConnectionReason::MapFull,
        Cause::Untagged | Cause::OtherPeer => ConnectionReason::Untagged,
        Cause::EvidenceTooLow => ConnectionReason::EvidenceTooLow,
        Cause::OtherListener => ConnectionReason::OtherListener,
        Cause::LeaseEnded => ConnectionReason::LeaseEnded,
        Cause::Traced => ConnectionReason::Traced,
        Cause::UnixSocket => ConnectionReason::UnixSocket,
        Cause::BrokerPort => ConnectionReason::BrokerPort,
        Cause::SocketOption => ConnectionReason::SocketOption,
        Cause::QuotaUsedUp => ConnectionReason::QuotaUsedUp,
    }
}

/// A name in the abstract namespace begins with a NUL (unix(7)).
fn socket_path(path: &[u8]) -> String {
    let (before, rest) = match path {
        [0, rest @ ..] => ("@", rest),
        all => ("", all),
    };
    let name = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    format!("{before}{}", String::from_utf8_lossy(name))
}

/// An address of the maps, and a port in network order.
pub fn socket_address(address: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V6(Ipv6Addr::from(address)).to_canonical(),
        u16::from_be(port),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(exec_id: u64, at: u64, cause: Cause) -> RefusalEvent {
        RefusalEvent {
            exec_id,
            at,
            cause: cause as u32,
            ..RefusalEvent::ZERO
        }
    }

    #[test]
    fn a_repeated_refusal_is_told_once_a_second() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_news(&event(1, 0, Cause::NoGrant)));
        assert!(!refusals.is_news(&event(1, QUIET - 1, Cause::NoGrant)));
        assert!(refusals.is_news(&event(1, QUIET, Cause::NoGrant)));
        assert!(
            refusals.is_news(&event(2, 0, Cause::NoGrant)),
            "another image"
        );
        assert!(
            refusals.is_news(&event(1, 0, Cause::GrantEnded)),
            "another cause"
        );
    }

    #[test]
    fn a_flood_of_different_refusals_takes_bounded_memory() {
        let mut refusals = Refusals::default();
        for round in 0..20 {
            for exec_id in 0..1000 {
                refusals.is_news(&event(
                    exec_id + 1000 * round,
                    round * QUIET,
                    Cause::NoGrant,
                ));
            }
        }
        assert!(refusals.told[&0].len() <= MOST);
        assert!(
            refusals.is_news(&event(1, 20 * QUIET, Cause::NoGrant)),
            "it goes on"
        );
    }

    #[test]
    fn a_scope_that_tries_everything_leaves_the_others_their_records() {
        let mut refusals = Refusals::default();
        let told = (0..1000)
            .filter(|id| refusals.is_news(&event(*id, 5, Cause::NoGrant)))
            .count();
        assert_eq!(told, BUDGET as usize);
        let other = RefusalEvent {
            scope: 7,
            ..event(1, 5, Cause::GrantEnded)
        };
        assert!(refusals.is_news(&other), "another scope");
        assert!(
            refusals.is_news(&event(1, 5 + QUIET, Cause::NoGrant)),
            "the next second"
        );
    }

    #[test]
    fn every_cause_has_a_reason_for_people() {
        for cause in Cause::ALL {
            let described = describe(&event(1, 0, *cause), &Names::default());
            assert_eq!(described.destination, None);
        }
        let all: std::collections::BTreeSet<_> = Cause::ALL.iter().map(|c| reason_of(*c)).collect();
        // A broker's own.
        let brokers = [ConnectionReason::OtherName];
        for reason in ConnectionReason::ALL {
            let is_given = all.contains(reason) || brokers.contains(reason);
            assert!(is_given, "nothing gives {reason}");
        }
        let event = RefusalEvent {
            address: "::ffff:10.0.0.1".parse::<Ipv6Addr>().unwrap().octets(),
            port: 443_u16.to_be(),
            ..event(1, 0, Cause::NoGrant)
        };
        assert_eq!(
            describe(&event, &Names::default()).destination,
            Some("10.0.0.1:443".parse().unwrap())
        );
    }

    #[test]
    fn a_unix_socket_is_told_by_its_path_and_each_path_for_itself() {
        let at = |path: &[u8]| {
            let mut event = event(1, 0, Cause::UnixSocket);
            event.path[..path.len()].copy_from_slice(path);
            event
        };
        let told = |event: &RefusalEvent| describe(event, &Names::default()).path.unwrap();
        assert_eq!(told(&at(b"/run/docker.sock\0x")), "/run/docker.sock");
        assert_eq!(told(&at(b"\0/tmp/.X11-unix/X0")), "@/tmp/.X11-unix/X0");
        let mut refusals = Refusals::default();
        assert!(refusals.is_news(&at(b"/a")));
        assert!(refusals.is_news(&at(b"/b")), "another path");
        assert!(!refusals.is_news(&at(b"/a")));
    }

    #[test]
    fn the_transport_is_told_where_there_is_one() {
        for (protocol, transport) in [
            (TCP, Some(Transport::Tcp)),
            (UDP, Some(Transport::Udp)),
            (0, None),
        ] {
            let event = RefusalEvent {
                protocol,
                ..event(1, 0, Cause::NoGrant)
            };
            assert_eq!(describe(&event, &Names::default()).transport, transport);
        }
    }
}

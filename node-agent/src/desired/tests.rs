use jiff::Timestamp;
use lanyard_access::{
    desired::LiveGrant,
    digest::Sha256Digest,
    grant::{Limits, Resource, Tls},
    identity::{Enforcement, ProcessAccess},
    mcp::McpRule,
    object::Uid,
    port::Port,
};
use lanyard_node_agent_abi::grant::{Grant, SLOTS};

use super::*;
use crate::names;

const NOW: Moment = Moment {
    boot: 1_000,
    wall: Timestamp::UNIX_EPOCH,
};

fn grant(name: &str, host: &str, ends_in: i64) -> LiveGrant {
    let host: Host = host.parse().unwrap();
    let protocol = if matches!(host, Host::Name(_)) {
        Protocol::Https
    } else {
        Protocol::Tcp
    };
    LiveGrant {
        key: name.parse().unwrap(),
        uid: Uid::new(name),
        spec_hash: Sha256Digest::new([0; 32]),
        requires: EvidenceLevel::Image,
        resource: Resource {
            host,
            port: Port::new(443).unwrap(),
            protocol,
            tls: Tls::Terminate,
            http: Vec::new(),
            mcp: McpRule::default(),
            conditions: Vec::new(),
            allow_private: false,
            ca_bundle: None,
        },
        credential: None,
        limits: Limits::default(),
        ends_at: Timestamp::from_second(ends_in).unwrap(),
    }
}

fn agent(grants: Vec<LiveGrant>) -> DesiredAgent {
    DesiredAgent {
        key: "bot".parse().unwrap(),
        uid: Uid::new("bot"),
        processes: Vec::new(),
        enforcement: Enforcement::Enforce,
        process_access: ProcessAccess::None,
        grants,
    }
}

fn of(grants: Vec<LiveGrant>) -> Openings {
    let (mut names, mut deadlines) = (Names::default(), Deadlines::default());
    let (openings, refused) = openings(&agent(grants), 7, "scope", &mut names, &mut deadlines, NOW);
    assert!(refused.is_empty(), "{refused:?}");
    openings
}

/// What grants that demand `Image` open.
const fn at_image(deadline: u64) -> [u64; LEVELS] {
    [0, 0, deadline]
}

const fn in_seconds(seconds: u64) -> u64 {
    1_000 + seconds * 1_000_000_000
}

#[test]
fn a_name_opens_both_its_virtual_addresses_at_the_broker() {
    let openings = of(vec![grant("a", "api.example.com", 10)]);
    // `http://` URLs of a service at 443 are led there too.
    let ports: Vec<u16> = openings.keys().map(|key| key.port).collect();
    assert_eq!(ports, [80, 443, 80, 443]);
    for (key, opening) in openings {
        assert_eq!((key.principal, key.bits), (7, 128));
        let expected = Opening {
            carrier: carrier::BROKER,
            deadlines: at_image(in_seconds(10)),
        };
        assert_eq!(opening, expected);
    }
}

#[test]
fn what_is_carried_in_several_ways_is_one_destination_until_the_last_of_them_ends() {
    let https = grant("a", "api.example.com", 10);
    let mut tcp = grant("b", "api.example.com", 20);
    tcp.resource.protocol = Protocol::Tcp;
    tcp.requires = EvidenceLevel::Scope;
    let mut http = grant("c", "api.example.com", 5);
    http.resource.protocol = Protocol::Http;
    http.resource.port = Port::new(80).unwrap();
    let openings = of(vec![https, tcp, http]);
    assert_eq!(openings.len(), 4);
    for (key, opening) in openings {
        let expected = match key.port {
            443 => [20, 20, 20].map(in_seconds),
            _ => at_image(in_seconds(10)),
        };
        assert_eq!(opening.deadlines, expected, "{}", key.port);
    }
}

#[test]
fn an_address_is_opened_directly() {
    let openings = of(vec![grant("a", "10.0.0.1", 10)]);
    let [(key, opening)] = openings.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(key.address, mapped("10.0.0.1".parse().unwrap()));
    assert!(key.is_one_address());
    assert_eq!(opening.carrier, carrier::DIRECT);
}

#[test]
fn a_network_is_opened_by_its_leading_bits() {
    for (network, bits) in [("10.0.0.0/8", 104), ("fd00::/8", 8)] {
        let openings = of(vec![grant("a", network, 10)]);
        let [(key, _)] = openings.into_iter().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(key.bits, bits, "{network}");
        assert!(!key.is_one_address());
    }
}

#[test]
fn what_lies_in_a_network_has_what_the_network_has() {
    let openings = of(vec![
        grant("wide", "10.0.0.0/8", 30),
        grant("narrow", "10.1.0.0/16", 20),
        grant("one", "10.1.0.1", 10),
        grant("elsewhere", "10.2.0.0/16", 40),
        grant("apart", "192.0.2.1", 10),
    ]);
    let of = |bits: u8, address: &str| {
        let address = mapped(address.parse().unwrap());
        let found = openings
            .iter()
            .find(|(key, _)| (key.bits, key.address) == (bits, address));
        found.unwrap().1.deadlines
    };
    assert_eq!(of(104, "10.0.0.0"), at_image(in_seconds(30)));
    assert_eq!(of(112, "10.1.0.0"), at_image(in_seconds(30)));
    assert_eq!(of(128, "10.1.0.1"), at_image(in_seconds(30)));
    assert_eq!(of(112, "10.2.0.0"), at_image(in_seconds(40)));
    assert_eq!(of(128, "192.0.2.1"), at_image(in_seconds(10)));
}

#[test]
fn udp_and_tcp_do_not_meet() {
    let mut udp = grant("udp", "10.0.0.1", 20);
    udp.resource.protocol = Protocol::Udp;
    let openings = of(vec![grant("tcp", "10.0.0.1", 10), udp]);
    let protocols: Vec<u8> = openings.keys().map(|key| key.protocol).collect();
    assert_eq!(protocols, [6, 17]);
    let deadlines: Vec<_> = openings.values().map(|opening| opening.deadlines).collect();
    assert_eq!(
        deadlines,
        [at_image(in_seconds(10)), at_image(in_seconds(20))]
    );
}

#[test]
fn overlapping_grants_share_an_opening_until_the_later_end() {
    let both = of(vec![grant("a", "10.0.0.1", 10), grant("b", "10.0.0.1", 20)]);
    let late = of(vec![grant("b", "10.0.0.1", 20)]);
    assert_eq!(both, late);
}

#[test]
fn a_lower_requirement_opens_every_level_above_it() {
    for (requires, deadlines) in [
        (EvidenceLevel::Scope, [in_seconds(10); 3]),
        (EvidenceLevel::Lineage, [0, in_seconds(10), in_seconds(10)]),
        (EvidenceLevel::Image, at_image(in_seconds(10))),
    ] {
        let low = LiveGrant {
            requires,
            ..grant("a", "10.0.0.1", 10)
        };
        let [opening] = of(vec![low])
            .into_values()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        assert_eq!(opening.deadlines, deadlines, "{requires}");
    }
}

#[test]
fn the_first_steps_begin_a_slot_before_they_open_it() {
    let mut slots = Slots::default();
    let (steps, fits) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!(fits, Ok(()));
    let opened = [0, 0, 1];
    assert!(
        matches!(steps[..], [Step::Begin(1, _), Step::Open(_, Grant { slots, .. })] if slots == opened),
        "{steps:?}"
    );
    let (again, _) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!(again, []);
}

#[test]
fn what_is_no_longer_wanted_ends_before_anything_begins() {
    let mut slots = Slots::default();
    let _ = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    let (steps, _) = slots.steps(7, &of(vec![grant("b", "10.0.0.2", 10)]));
    assert!(
        matches!(
            steps[..],
            [
                Step::End(1),
                Step::Close(_),
                Step::Begin(1, _),
                Step::Open(..)
            ]
        ),
        "{steps:?}"
    );
}

#[test]
fn a_level_that_is_no_longer_granted_ends_and_its_slot_is_out_of_the_entry_first() {
    let mut slots = Slots::default();
    let low = LiveGrant {
        requires: EvidenceLevel::Lineage,
        ..grant("low", "10.0.0.1", 10)
    };
    let _ = slots.steps(7, &of(vec![low, grant("high", "10.0.0.1", 20)]));
    let wanted = of(vec![
        grant("high", "10.0.0.1", 20),
        grant("new", "10.0.0.2", 10),
    ]);
    let (steps, _) = slots.steps(7, &wanted);
    let [
        Step::End(ended),
        Step::Open(_, kept),
        Step::Begin(begun, _),
        Step::Open(..),
    ] = steps[..]
    else {
        panic!("{steps:?}");
    };
    assert!(!kept.slots.contains(&ended));
    assert_eq!(
        begun, ended,
        "the slot is used again, after nothing leads to it"
    );
}

#[test]
fn revoking_one_of_two_overlapping_grants_moves_the_deadline_to_the_other() {
    let mut slots = Slots::default();
    let _ = slots.steps(
        7,
        &of(vec![grant("a", "10.0.0.1", 10), grant("b", "10.0.0.1", 20)]),
    );
    let (steps, _) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!(steps, [Step::Move(1, in_seconds(10))]);
}

#[test]
fn one_principals_end_leaves_the_others_alone() {
    let mut slots = Slots::default();
    let first = of(vec![grant("a", "10.0.0.1", 10)]);
    let other = |(key, opening): (&Destination, &Opening)| {
        let key = Destination {
            principal: 8,
            ..*key
        };
        (key, *opening)
    };
    let second: Openings = first.iter().map(other).collect();
    let _ = slots.steps(7, &first);
    let _ = slots.steps(8, &second);
    let _ = slots.steps(7, &Openings::new());
    assert_eq!(slots.steps(8, &second).0, []);
}

#[test]
fn an_address_in_a_network_stands_under_the_networks_slot() {
    let mut slots = Slots::default();
    let _ = slots.steps(
        7,
        &of(vec![
            grant("wide", "10.0.0.0/8", 10),
            grant("one", "10.0.0.1", 20),
        ]),
    );
    let at = |address: &str| Destination {
        principal: 7,
        address: mapped(address.parse().unwrap()),
        bits: 128,
        port: 443,
        protocol: 6,
    };
    let of_one = slots.slot_of(&at("10.0.0.1"), level::IMAGE).unwrap();
    let of_network = slots.slot_of(&at("10.0.0.2"), level::IMAGE).unwrap();
    assert_ne!(of_one, of_network);
    assert_eq!(slots.deadline_of(of_network), Some(in_seconds(10)));
    assert_eq!(slots.slot_of(&at("11.0.0.1"), level::IMAGE), None);
    assert_eq!(slots.slot_of(&at("10.0.0.1"), level::SCOPE), None);
}

#[test]
fn when_every_slot_is_in_use_nothing_more_is_opened() {
    let mut slots = Slots::full(SLOTS - 1);
    let (steps, fits) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!((steps.as_slice(), fits), (&[][..], Err(NoSlot)));
}

#[test]
fn a_principal_that_uses_its_share_leaves_the_others_theirs() {
    let many = |principal: u32, count: u32| -> Openings {
        let one = |number: u32| {
            let mut address = [0; 16];
            address[..4].copy_from_slice(&number.to_be_bytes());
            let key = Destination {
                principal,
                address,
                bits: 128,
                port: 1,
                protocol: 6,
            };
            let opening = Opening {
                carrier: carrier::DIRECT,
                deadlines: [1; LEVELS],
            };
            (key, opening)
        };
        (0..count).map(one).collect()
    };
    let mut slots = Slots::default();
    assert_eq!(slots.steps(7, &many(7, 22_000)).1, Err(NoSlot));
    assert_eq!(slots.steps(8, &many(8, 21_000)).1, Ok(()));
    let _ = slots.steps(7, &Openings::new());
    assert_eq!(slots.steps(7, &many(7, 21_000)).1, Ok(()));
}

#[test]
fn adopted_slots_are_not_handed_out_again() {
    let (key, _) = of(vec![grant("a", "10.0.0.1", 10)]).pop_first().unwrap();
    let left = Grant {
        slots: [0, 0, 3],
        carrier: u32::from(carrier::DIRECT),
    };
    let mut slots = Slots::adopt([(key, left, at_image(5))]);
    let (steps, _) = slots.steps(
        7,
        &of(vec![grant("a", "10.0.0.1", 10), grant("b", "10.0.0.2", 10)]),
    );
    assert!(
        matches!(
            steps[..],
            [Step::Move(3, _), Step::Begin(2, _), Step::Open(..)]
        ),
        "{steps:?}"
    );
}

#[test]
fn names_beyond_those_a_scope_can_have_are_refused_and_the_others_stay_open() {
    let host = |number: usize| format!("n{number}.example.com");
    let all = |count: usize| {
        let grants = (0..count).map(|n| grant(&format!("g{n}"), &host(n), 10));
        agent(grants.collect())
    };
    let (mut names, mut deadlines) = (Names::default(), Deadlines::default());
    let mut opened = |count| openings(&all(count), 7, "scope", &mut names, &mut deadlines, NOW);
    let (full, none) = opened(names::MOST);
    // Of both families, and at the port for HTTP in the clear too.
    assert_eq!((full.len(), none.len()), (4 * names::MOST, 0));
    let (with_more, refused) = opened(names::MOST + 3);
    assert_eq!((with_more == full, refused.len()), (true, 3));
    // What is granted no more keeps its address: nobody else gets it.
    let (one, _) = opened(1);
    assert!(
        one.iter()
            .all(|(key, opening)| full.get(key) == Some(opening))
    );
    let late = agent(vec![grant("late", "late.example.com", 10)]);
    let (nothing, refused) = openings(&late, 7, "scope", &mut names, &mut deadlines, NOW);
    assert_eq!((nothing.len(), refused.len()), (0, 1));
}

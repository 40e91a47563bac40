use jiff::Timestamp;
use lanyard_access::{
    desired::LiveGrant, digest::Sha256Digest, grant::Resource, object::Uid, port::Port,
};

use super::*;

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
            allow_private: false,
            ca_bundle: None,
        },
        credential: None,
        ends_at: Timestamp::from_second(ends_in).unwrap(),
    }
}

fn agent(grants: Vec<LiveGrant>) -> DesiredAgent {
    DesiredAgent {
        key: "bot".parse().unwrap(),
        uid: Uid::new("bot"),
        processes: Vec::new(),
        grants,
    }
}

fn of(grants: Vec<LiveGrant>) -> Openings {
    let (mut names, mut deadlines) = (Names::default(), Deadlines::default());
    openings(&agent(grants), 7, "scope", &mut names, &mut deadlines, NOW).unwrap()
}

#[test]
fn a_name_opens_both_its_virtual_addresses_at_the_broker() {
    let openings = of(vec![grant("a", "api.example.com", 10)]);
    assert_eq!(openings.len(), 2);
    for (key, opening) in openings {
        assert_eq!((key.principal, key.port, key.level), (7, 443, level::IMAGE));
        assert_eq!(
            opening,
            Opening {
                carrier: carrier::BROKER,
                deadline: 1_000 + 10_000_000_000
            }
        );
    }
}

#[test]
fn an_address_is_opened_directly() {
    let openings = of(vec![grant("a", "10.0.0.1", 10)]);
    let [(key, opening)] = openings.into_iter().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(key.address, mapped("10.0.0.1".parse().unwrap()));
    assert_eq!(opening.carrier, carrier::DIRECT);
}

#[test]
fn overlapping_grants_share_an_opening_until_the_later_end() {
    let both = of(vec![grant("a", "10.0.0.1", 10), grant("b", "10.0.0.1", 20)]);
    let late = of(vec![grant("b", "10.0.0.1", 20)]);
    assert_eq!(both, late);
}

#[test]
fn a_lower_requirement_opens_every_level_above_it() {
    let low = LiveGrant {
        requires: EvidenceLevel::Scope,
        ..grant("a", "10.0.0.1", 10)
    };
    let levels: Vec<u8> = of(vec![low]).into_keys().map(|key| key.level).collect();
    assert_eq!(levels, [level::SCOPE, level::LINEAGE, level::IMAGE]);
}

#[test]
fn the_first_steps_begin_a_slot_before_they_open_it() {
    let mut slots = Slots::default();
    let (steps, fits) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!(fits, Ok(()));
    assert!(
        matches!(
            steps[..],
            [Step::Begin(1, _), Step::Open(_, Grant { slot: 1, .. })]
        ),
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
fn revoking_one_of_two_overlapping_grants_moves_the_deadline_to_the_other() {
    let mut slots = Slots::default();
    let _ = slots.steps(
        7,
        &of(vec![grant("a", "10.0.0.1", 10), grant("b", "10.0.0.1", 20)]),
    );
    let (steps, _) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!(steps, [Step::Move(1, 1_000 + 10_000_000_000)]);
}

#[test]
fn one_principals_end_leaves_the_others_alone() {
    let mut slots = Slots::default();
    let first = of(vec![grant("a", "10.0.0.1", 10)]);
    let second: Openings = first
        .iter()
        .map(|(key, opening)| {
            (
                Key {
                    principal: 8,
                    ..*key
                },
                *opening,
            )
        })
        .collect();
    let _ = slots.steps(7, &first);
    let _ = slots.steps(8, &second);
    let _ = slots.steps(7, &Openings::new());
    assert_eq!(slots.steps(8, &second).0, []);
}

#[test]
fn when_every_slot_is_in_use_nothing_more_is_opened() {
    let mut slots = Slots {
        next: SLOTS - 1,
        ..Slots::default()
    };
    let (steps, fits) = slots.steps(7, &of(vec![grant("a", "10.0.0.1", 10)]));
    assert_eq!((steps.as_slice(), fits), (&[][..], Err(NoSlot)));
}

#[test]
fn adopted_slots_are_not_handed_out_again() {
    let key = *of(vec![grant("a", "10.0.0.1", 10)])
        .first_key_value()
        .unwrap()
        .0;
    let mut slots = Slots::adopt([(
        key.to_abi(),
        Grant {
            slot: 3,
            carrier: u32::from(carrier::DIRECT),
        },
        5,
    )]);
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

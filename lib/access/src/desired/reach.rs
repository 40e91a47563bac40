//! Until when each destination is open, by all grants that reach it together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Destination, LiveGrant};
use crate::{evidence::EvidenceLevel, host::Host, reserved::is_reserved};

/// Until when something is open to processes of each level; a level that is missing finds it closed.
pub type Ends<E> = BTreeMap<EvidenceLevel, E>;

/// Until when each destination that some grant names is open, by all grants that reach it.
///
/// The kernel looks at one entry: that of the address, else that of the longest network around it. So
/// each has, for each level, the latest end of every grant of its protocol and port that
/// [opens](Host::opens) it, and taking one grant away leaves exactly the others.
///
/// What an end is, the caller says: a time, or nanoseconds of a clock of its own.
pub fn reach<'a, E: Copy + Ord>(
    grants: impl IntoIterator<Item = (&'a LiveGrant, E)>,
) -> BTreeMap<Destination, Ends<E>> {
    let mut own: BTreeMap<Destination, Ends<E>> = BTreeMap::new();
    for (grant, end) in grants {
        for destination in Destination::of(&grant.resource) {
            let ends = own.entry(destination).or_default();
            let levels = EvidenceLevel::ALL.into_iter();
            for level in levels.filter(|level| *level >= grant.requires) {
                extend(ends, level, end);
            }
        }
    }
    let lengths: BTreeSet<u8> = own.keys().filter_map(length_of_network).collect();
    let with_networks = own.iter().map(|(destination, ends)| {
        let mut all = ends.clone();
        for network in networks_around(destination, &lengths) {
            let around = own.get(&network).into_iter().flatten();
            around.for_each(|(level, end)| extend(&mut all, *level, *end));
        }
        (destination.clone(), all)
    });
    with_networks.collect()
}

fn extend<E: Copy + Ord>(ends: &mut Ends<E>, level: EvidenceLevel, end: E) {
    let latest = ends.entry(level).or_insert(end);
    *latest = end.max(*latest);
}

fn length_of_network(destination: &Destination) -> Option<u8> {
    match &destination.host {
        Host::Network(network) => Some(network.length()),
        Host::Name(_) | Host::Address(_) => None,
    }
}

/// The networks of these lengths that hold `destination` and open it.
fn networks_around(
    destination: &Destination,
    lengths: &BTreeSet<u8>,
) -> impl Iterator<Item = Destination> {
    let prefix = match &destination.host {
        Host::Address(address) if is_reserved(*address) => None,
        Host::Name(_) | Host::Address(_) | Host::Network(_) => destination.host.prefix(),
    };
    let shorter = prefix.into_iter().flat_map(|prefix| {
        let lengths = lengths.range(..prefix.length());
        lengths.map(move |length| prefix.widened(*length))
    });
    shorter.map(|network| Destination {
        host: Host::Network(network),
        ..destination.clone()
    })
}

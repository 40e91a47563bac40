//! The broker beside what else could stand between a client and a service, in one run: a request through
//! interception with a credential put in, a new connection, the first event of a stream, memory; and what only a
//! broker does, names and credentials.
//!
//! `cargo bench -p lanyard-e2e --bench broker` prints one table after another. It needs root, the programs in
//! `LANYARD_BIN_DIR`, nginx, haproxy and squid; the others are installed once beside the peers of the tests. Without
//! `--bench`, as under `cargo test --benches`, one short round of Lanyard and nginx shows that it works.
//!
//! `-- requests nginx Lanyard` measures those parts and peers alone; the parts are in [`PARTS`].
//!
//! Whoever is measured takes its turn in each round, so that what else the machine does meets all alike. A figure is
//! the median of its rounds.

#![expect(clippy::print_stdout, reason = "the tables are what a bench is for")]

mod authority;
mod cost;
mod load;
mod origin;
mod peer;
mod place;
mod residency;
mod rounds;
mod table;

use std::env;

use anyhow::Result;

use peer::Peer;
use place::Place;
use rounds::Length;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [verb, order] = arguments.as_slice()
        && verb == load::VERB
    {
        return load::obey(order);
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let length = if is_bench {
        Length::WHOLE
    } else {
        Length::GLIMPSE
    };
    place::raise_limits()?;
    let place = Place::make()?;
    let peers = peer::chosen(&place, is_bench, &arguments)?;
    let is_named = |(name, _): &&(&str, Part)| arguments.iter().any(|argument| argument == name);
    let all = !PARTS.iter().any(|part| is_named(&part));
    for (_, measure) in PARTS.iter().filter(|part| all || is_named(part)) {
        measure(&place, &peers, &length)?;
    }
    Ok(())
}

type Part = fn(&Place, &[Peer], &Length) -> Result<()>;

const PARTS: [(&str, Part); 6] = [
    ("requests", rounds::requests),
    ("connections", rounds::connections),
    ("events", rounds::first_events),
    ("streams", rounds::streams),
    ("names", rounds::names),
    ("secrets", residency::measure),
];

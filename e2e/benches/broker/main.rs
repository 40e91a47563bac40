//! The broker beside what else could stand between a client and a service, in one run: a request through
//! interception with a credential put in, a new connection, the first event of a stream, memory; and what only a
//! broker does, names and credentials.
//!
//! `cargo bench -p lanyard-e2e --bench broker` prints one table after another. It needs root, the programs in
//! `LANYARD_BIN_DIR`, nginx, haproxy and squid; the others are installed once beside the peers of the tests. Without
//! `--bench`, as under `cargo test --benches`, one short round of Lanyard and nginx shows that it works.
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

use place::Place;
use rounds::Length;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(load::VERB) {
        return load::obey(&arguments.next().unwrap_or_default());
    }
    let is_bench = env::args().any(|argument| argument == "--bench");
    let length = if is_bench {
        Length::WHOLE
    } else {
        Length::GLIMPSE
    };
    place::raise_limits()?;
    let place = Place::make()?;
    let peers = peer::all(&place, is_bench)?;
    rounds::requests(&place, &peers, &length)?;
    rounds::connections(&place, &peers, &length)?;
    rounds::first_events(&place, &peers, &length)?;
    rounds::streams(&place, &peers, &length)?;
    rounds::names(&place, &peers, &length)?;
    residency::measure(&place, &peers, &length)
}

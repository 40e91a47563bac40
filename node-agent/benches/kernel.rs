//! What the kernel programs cost: each figure with no programs, outside a scope and inside one, by turns in one run.
//!
//! `cargo bench -p lanyard-node-agent --bench kernel` prints one line for each figure. It needs root. Without
//! `--bench`, as under `cargo test --benches`, a few runs of each show that it works.

#![expect(clippy::print_stdout, reason = "the table is what a bench is for")]

mod kernel {
    pub(super) mod connecting;
    pub(super) mod figures;
    pub(super) mod place;
    pub(super) mod stage;
    pub(super) mod storms;
    pub(super) mod traffic;
    pub(super) mod weight;
    pub(super) mod worker;
}

use std::env;

use anyhow::Result;

use kernel::{
    connecting, figures::Table, place::Place, stage::Stage, storms, traffic, weight, worker,
};

/// How often everything is measured, by turns.
struct Effort {
    rounds: usize,
    /// Calls in each round.
    calls: usize,
    /// How long data is sent in each round, in milliseconds.
    streaming: u64,
}

const WHOLE: Effort = Effort {
    rounds: 10,
    calls: 4_000,
    streaming: 700,
};
const SMOKE: Effort = Effort {
    rounds: 1,
    calls: 50,
    streaming: 30,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|mode| mode == worker::MODE) {
        return worker::serve(&arguments[2..]);
    }
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let effort = if is_bench { WHOLE } else { SMOKE };
    let place = Place::make()?;
    let mut table = Table::default();
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        measure(&place, &effort, round, &mut table)?;
    }
    table.print();
    let stage = Stage::set()?;
    weight::print(&stage)
}

/// One round. What comes first goes by turns: a machine is slower or faster from one minute to the next.
fn measure(place: &Place, effort: &Effort, round: usize, table: &mut Table) -> Result<()> {
    if round.is_multiple_of(2) {
        unwatched(place, effort, "no programs", table)?;
        return watched(place, effort, table);
    }
    watched(place, effort, table)?;
    unwatched(place, effort, "no programs", table)
}

/// A process that is in no scope.
fn unwatched(place: &Place, effort: &Effort, where_it_is: &str, table: &mut Table) -> Result<()> {
    let mut worker = place.worker()?;
    connecting::without(&mut worker, effort.calls, where_it_is, table)?;
    traffic::measure(
        &mut worker,
        effort.calls,
        effort.streaming,
        where_it_is,
        table,
    )?;
    storms::without(&mut worker, effort.calls / 8, where_it_is, table)
}

fn watched(place: &Place, effort: &Effort, table: &mut Table) -> Result<()> {
    let mut stage = Stage::set()?;
    unwatched(place, effort, "outside a scope", table)?;
    let mut agent = stage.agent(place)?;
    connecting::within(&mut stage, &mut agent, effort.calls, table)?;
    traffic::measure(&mut agent, effort.calls, effort.streaming, "granted", table)?;
    storms::within(&mut stage, &mut agent, effort.calls / 8, table)
}

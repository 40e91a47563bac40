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
    rounds: 7,
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
        measure(&place, &effort, &mut table)?;
    }
    table.print();
    let stage = Stage::set()?;
    weight::print(&stage)
}

/// One round: first with no programs, then with them.
fn measure(place: &Place, effort: &Effort, table: &mut Table) -> Result<()> {
    let mut absent = place.worker()?;
    connecting::without(&mut absent, effort.calls, "no programs", table)?;
    traffic::measure(
        &mut absent,
        effort.calls,
        effort.streaming,
        "no programs",
        table,
    )?;
    storms::without(&mut absent, effort.calls / 8, "no programs", table)?;

    let mut stage = Stage::set()?;
    let mut outside = place.worker()?;
    connecting::without(&mut outside, effort.calls, "outside a scope", table)?;
    traffic::measure(
        &mut outside,
        effort.calls,
        effort.streaming,
        "outside a scope",
        table,
    )?;
    let mut inside = stage.agent(place)?;
    connecting::within(&mut stage, &mut inside, effort.calls, table)?;
    traffic::measure(
        &mut inside,
        effort.calls,
        effort.streaming,
        "granted",
        table,
    )?;
    storms::within(&mut stage, &mut inside, effort.calls / 8, table)
}

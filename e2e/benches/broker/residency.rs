//! How long a credential is to be found in plain memory: that of a broker and of the node agent, looked at from
//! outside while a request is carried, and after it.

mod seen;

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use self::seen::{Seen, copies, watched};
use crate::{
    load::{Client, Work},
    peer::{self, Peer},
    place::{EVENTS, Place},
    rounds::Length,
    table,
};

/// How long a reply takes, in seconds.
const REPLY: f64 = 0.2;

/// How long it is looked for after a reply; well beyond the last of [`BUCKETS`].
const AFTER: Duration = Duration::from_millis(500);

/// The buckets of the histogram: milliseconds after the end of the reply. What comes after is found to the last look.
const BUCKETS: [u128; 5] = [0, 5, 20, 100, 400];

/// The longest that a credential may rest: twice what it should.
const REST: Duration = Duration::from_mins(2);

/// Of one process, at each request.
#[derive(Default)]
struct Histogram {
    held: Vec<f64>,
    after: Vec<u128>,
    requests: usize,
    copies: usize,
    look_takes: Duration,
}

/// Looks at each of several requests, of which each has a broker of its own.
pub(crate) fn measure(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    let Some(lanyard) = peers.iter().find(|peer| peer.is_lanyard()) else {
        return Ok(());
    };
    let daemon = place.stage.lanyard.daemon();
    let daemon = daemon.context("the node agent runs")?;
    let mut histograms = [Histogram::default(), Histogram::default()];
    let mut used = Instant::now();
    for number in 0..length.secrets {
        eprintln!("a secret, {number} of {}", length.secrets);
        let work = Work::Slowly { seconds: REPLY };
        let mut client = Client::start(place, lanyard, (work, false), (EVENTS, 0.0))?;
        let broker = peer::lanyard::broker(daemon)?;
        used = Instant::now();
        let (seen, end) = watched(&[broker, daemon], AFTER, || client.measure(lanyard))?;
        ensure!(
            seen[0].first.is_some() && copies(daemon)?.resting > 0,
            "the search finds nothing while a request is carried"
        );
        for (histogram, seen) in histograms.iter_mut().zip(&seen) {
            histogram.add(seen, end);
        }
    }
    println!("\nA credential in plain memory, of a request whose reply takes {REPLY} s");
    let [broker, node_agent] = &mut histograms;
    broker.print("the broker");
    node_agent.print("the node agent, outside the locked memory where it rests");
    if length.rests {
        print_rest(daemon, used)?;
    }
    Ok(())
}

/// How long it rests in the node agent's locked memory.
fn print_rest(daemon: u32, used: Instant) -> Result<()> {
    eprintln!("a secret, resting");
    while copies(daemon)?.resting > 0 {
        ensure!(used.elapsed() < REST, "a credential rests for {REST:?}");
        thread::sleep(Duration::from_millis(100));
    }
    println!(
        "\nIn the node agent's locked memory it rests until {:.1} s after the last request",
        used.elapsed().as_secs_f64()
    );
    Ok(())
}

impl Histogram {
    fn add(&mut self, seen: &Seen, end: Instant) {
        self.requests += 1;
        self.held
            .extend(seen.held().map(|held| held.as_secs_f64() * 1e6));
        self.after
            .extend(seen.after(end).map(|after| after.as_millis()));
        self.copies = self.copies.max(seen.copies);
        self.look_takes = self.look_takes.max(seen.look_takes());
    }

    fn print(&mut self, process: &str) {
        println!(
            "\nIn {process}, looked at every {:.1} ms until {AFTER:?} after the reply",
            self.look_takes.as_secs_f64() * 1e3
        );
        table::columns(&["runs", "median", "p99"]);
        self.print_held();
        println!(
            "\nWhen it was last found in {process}, after the end of the reply; at most {} copies at once",
            self.copies
        );
        table::columns(&["requests"]);
        let unseen = self.requests - self.after.len();
        table::row("it is never found", &[unseen.to_string()]);
        let mut from = None;
        for bucket in BUCKETS {
            let is_in = |ms: &&u128| **ms <= bucket && from.is_none_or(|from| **ms > from);
            let count = self.after.iter().filter(is_in).count();
            table::row(&format!("{bucket} ms at most"), &[count.to_string()]);
            from = Some(bucket);
        }
        let longer = self.after.iter();
        let longer = longer.filter(|ms| from.is_some_and(|from| **ms > from));
        let longer = longer.count().to_string();
        table::row("longer: it is there at the last look", &[longer]);
    }

    fn print_held(&mut self) {
        let held = &mut self.held;
        held.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (held.len() * percent).div_ceil(100).max(1);
            held.get(rank - 1).copied()
        };
        table::row(
            "from the first to the last time it is found",
            &[
                held.len().to_string(),
                table::whole(at(50)),
                table::whole(at(99)),
            ],
        );
    }
}

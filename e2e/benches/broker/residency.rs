//! How long a credential is to be found in plain memory: that of a broker and of the node agent, looked at from
//! outside while a request is carried, and after it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lanyard_e2e::scenes::TOKEN;
use memchr::memmem;

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

/// When it was found in a process.
#[derive(Default)]
struct Seen {
    first: Option<Instant>,
    last: Option<Instant>,
    looks: u32,
    copies: usize,
}

/// Looks at each of several requests, of which each has a broker of its own.
pub(crate) fn measure(place: &Place, peers: &[Peer], length: &Length) -> Result<()> {
    let Some(lanyard) = peers.iter().find(|peer| peer.is_lanyard()) else {
        return Ok(());
    };
    let daemon = place.stage.lanyard.daemon();
    let daemon = daemon.context("the node agent runs")?;
    let mut held = Vec::new();
    let mut after = Vec::new();
    let mut copies = 0;
    let mut looks = Duration::ZERO;
    for number in 0..length.secrets {
        eprintln!("a secret, {number} of {}", length.secrets);
        let work = Work::Slowly { seconds: REPLY };
        let mut client = Client::start(place, lanyard, (work, false), (EVENTS, 0.0))?;
        let broker = peer::lanyard::broker(daemon)?;
        let (seen, end) = watched(broker, || client.measure(lanyard))?;
        let first = seen
            .first
            .context("the broker has the secret for a while")?;
        let last = seen.last.unwrap_or(first);
        held.push((last - first).as_secs_f64() * 1e6);
        after.push(last.saturating_duration_since(end).as_millis());
        copies = copies.max(seen.copies);
        looks = (last - first) / seen.looks.max(1);
    }
    println!(
        "\nA credential in the memory of the broker, for a request whose reply takes {REPLY} s; it is looked for every {:.1} ms, until {AFTER:?} after the reply",
        looks.as_secs_f64() * 1e3
    );
    table::columns(&["runs", "median", "p99"]);
    print_row(&mut held);
    let mut from = None;
    println!(
        "\nWhen it was last found, after the end of the reply; at most {copies} copies at once"
    );
    table::columns(&["requests"]);
    for bucket in BUCKETS {
        let is_in = |ms: &&u128| **ms <= bucket && from.is_none_or(|from| **ms > from);
        let count = after.iter().filter(is_in).count();
        table::row(&format!("{bucket} ms at most"), &[count.to_string()]);
        from = Some(bucket);
    }
    let longer = after
        .iter()
        .filter(|ms| from.is_some_and(|from| **ms > from));
    let longer = longer.count().to_string();
    table::row("longer: it is there at the last look", &[longer]);
    Ok(())
}

fn print_row(held: &mut [f64]) {
    held.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        held.get((held.len() * percent).div_ceil(100).max(1) - 1)
            .copied()
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

/// When the secret was in the memory of a process, from before `act` to a while after it; and when `act` ended.
fn watched<T>(pid: u32, act: impl FnOnce() -> Result<T>) -> Result<(Seen, Instant)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| -> Result<Seen> {
            let mut seen = Seen::default();
            while !is_over.load(Ordering::Relaxed) {
                seen.look(pid)?;
            }
            Ok(seen)
        });
        let acted = act();
        let end = Instant::now();
        thread::sleep(AFTER);
        is_over.store(true, Ordering::Relaxed);
        let seen = watching.join();
        acted?;
        let seen = seen.map_err(|_| anyhow::anyhow!("whoever looks panicked"))??;
        Ok((seen, end))
    })
}

impl Seen {
    fn look(&mut self, pid: u32) -> Result<()> {
        let now = Instant::now();
        let copies = copies(pid)?;
        if copies > 0 {
            self.first.get_or_insert(now);
            self.last = Some(now);
            self.copies = self.copies.max(copies);
        }
        if self.first.is_some() && self.last == Some(now) {
            self.looks += 1;
        }
        Ok(())
    }
}

/// How often the secret is in what a process can write.
fn copies(pid: u32) -> Result<usize> {
    let memory = File::open(format!("/proc/{pid}/mem")).context("open the memory of a process")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let finder = memmem::Finder::new(TOKEN.as_bytes());
    let mut copies = 0;
    for map in maps.lines() {
        let Some((start, end)) = writable(map) else {
            continue;
        };
        let mut content = vec![0; usize::try_from(end - start)?];
        // What was mapped a moment ago may be gone.
        if memory.read_exact_at(&mut content, start).is_ok() {
            copies += finder.find_iter(&content).count();
        }
    }
    Ok(copies)
}

fn writable(map: &str) -> Option<(u64, u64)> {
    let mut parts = map.split(' ');
    let (start, end) = parts.next()?.split_once('-')?;
    parts.next().filter(|rights| rights.starts_with("rw"))?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

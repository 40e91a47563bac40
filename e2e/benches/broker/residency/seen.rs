//! When a credential is to be found in a process, looked at from outside.

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

/// When it was found in a process outside the place where it rests, which only the node agent has.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) first: Option<Instant>,
    pub(super) last: Option<Instant>,
    /// How many copies at once, at most.
    pub(super) copies: usize,
    looks: u32,
    looked: Duration,
}

impl Seen {
    /// From the first to the last time.
    pub(super) fn held(&self) -> Option<Duration> {
        Some(self.last? - self.first?)
    }

    /// How much later than that it was found.
    pub(super) fn after(&self, end: Instant) -> Option<Duration> {
        Some(self.last?.saturating_duration_since(end))
    }

    /// How long a look takes.
    pub(super) fn look_takes(&self) -> Duration {
        self.looked / self.looks.max(1)
    }

    fn look(&mut self, pid: u32) -> Result<()> {
        let now = Instant::now();
        let copies = copies(pid)?.elsewhere;
        if copies > 0 {
            self.first.get_or_insert(now);
            self.last = Some(now);
            self.copies = self.copies.max(copies);
        }
        self.looks += 1;
        self.looked += now.elapsed();
        Ok(())
    }
}

/// When it was in each of the processes, from before `act` to so long after it; and when `act` ended.
pub(super) fn watched<T>(
    pids: &[u32],
    after: Duration,
    act: impl FnOnce() -> Result<T>,
) -> Result<(Vec<Seen>, Instant)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = |pid: u32| {
            let is_over = &is_over;
            scope.spawn(move || -> Result<Seen> {
                let mut seen = Seen::default();
                while !is_over.load(Ordering::Relaxed) {
                    seen.look(pid)?;
                }
                Ok(seen)
            })
        };
        let watching: Vec<_> = pids.iter().map(|pid| watch(*pid)).collect();
        let acted = act();
        let end = Instant::now();
        thread::sleep(after);
        is_over.store(true, Ordering::Relaxed);
        let seen = watching.into_iter().map(|watching| {
            let seen = watching.join();
            seen.map_err(|_| anyhow::anyhow!("whoever looks panicked"))?
        });
        let seen = seen.collect::<Result<_>>()?;
        acted?;
        Ok((seen, end))
    })
}

/// How often it is in what a process can write.
#[derive(Default)]
pub(super) struct Copies {
    /// In memory that is kept out of dumps.
    pub(super) resting: usize,
    /// In any other.
    pub(super) elsewhere: usize,
}

/// Counts them.
pub(super) fn copies(pid: u32) -> Result<Copies> {
    let memory = File::open(format!("/proc/{pid}/mem")).context("open the memory of a process")?;
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let finder = memmem::Finder::new(TOKEN.as_bytes());
    let mut copies = Copies::default();
    let mut content = Vec::new();
    for map in writable(&maps) {
        content.resize(usize::try_from(map.end - map.start)?, 0);
        // What was mapped a moment ago may be gone.
        if memory.read_exact_at(&mut content, map.start).is_err() {
            continue;
        }
        let found = finder.find_iter(&content).count();
        if map.is_kept_out_of_dumps {
            copies.resting += found;
        } else {
            copies.elsewhere += found;
        }
    }
    Ok(copies)
}

struct Map {
    start: u64,
    end: u64,
    is_kept_out_of_dumps: bool,
}

/// What can be written and was ever touched (`/proc/PID/smaps`: a line of rights, then what is known of it).
fn writable(maps: &str) -> Vec<Map> {
    let mut known = Vec::new();
    let mut current = None;
    let mut is_touched = false;
    for line in maps.lines() {
        if let Some(size) = line.strip_prefix("Rss:") {
            is_touched = size.trim() != "0 kB";
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let range = current.take().filter(|_| is_touched);
            known.extend(range.map(|(start, end)| Map {
                start,
                end,
                is_kept_out_of_dumps: flags.split(' ').any(|flag| flag == "dd"),
            }));
        } else if let Some(range) = range(line) {
            current = Some(range);
        }
    }
    known
}

/// Of a line that begins a mapping which can be written: where it is.
fn range(line: &str) -> Option<(u64, u64)> {
    let mut parts = line.split(' ');
    let (start, end) = parts.next()?.split_once('-')?;
    parts.next().filter(|rights| rights.starts_with("rw"))?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

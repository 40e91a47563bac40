//! What a person sees while a lab comes up: a line for each thing that is done, with the time since the beginning.

use std::{
    cell::Cell,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Lines on standard error, so that standard output is free for what was asked for.
pub struct Progress {
    started: Instant,
    is_terminal: bool,
    last: Cell<Option<Instant>>,
}

impl Progress {
    /// From now on.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            is_terminal: std::io::stderr().is_terminal(),
            last: Cell::new(None),
        }
    }

    /// Something is done.
    pub fn done(&self, what: &str) {
        self.clear();
        eprintln!("✓ {what} ({})", seconds(self.started.elapsed()));
    }

    /// Something goes on: on a terminal its line is drawn again each second, elsewhere there is one each minute.
    pub(super) fn going_on(&self, what: &str, since: Instant) {
        let every = Duration::from_secs(if self.is_terminal { 1 } else { 60 });
        let now = Instant::now();
        let last = self.last.get().map_or(since, |last| last.max(since));
        if now.duration_since(last) < every {
            return;
        }
        self.last.set(Some(now));
        let line = format!("… {what} {}", seconds(since.elapsed()));
        if self.is_terminal {
            eprint!("\r\x1b[K{line}");
            // A closed terminal is noticed by the next line.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn clear(&self) {
        if self.is_terminal && self.last.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// `2.4 s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

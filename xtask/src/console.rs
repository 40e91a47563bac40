//! All that xtask prints: lines, and steps that show how long they have been running.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Prints one line.
#[expect(
    clippy::print_stdout,
    reason = "a command-line tool talks on standard output"
)]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints text as it is, each line set in by four spaces.
pub(crate) fn quote(text: &str) {
    for line in text.trim_end().lines() {
        say(&format!("    {line}"));
    }
}

/// `12.3 s`, or minutes above two of them.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.1} min", seconds / 60.0)
    }
}

/// Something that takes a while. On a terminal its line counts the seconds; elsewhere it is one
/// line at the end, and one each minute before, so that a log shows life.
pub(crate) struct Step {
    title: String,
    started: Instant,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Step {
    /// Starts a step that prints nothing itself while it runs.
    pub(crate) fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let (stop, stopped) = channel();
        let shown = title.clone();
        let started = Instant::now();
        let terminal = std::io::stdout().is_terminal();
        if terminal {
            redraw(&running(&shown));
        }
        let thread = std::thread::spawn(move || {
            let every = Duration::from_secs(if terminal { 1 } else { 60 });
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let line = format!("{} {}", running(&shown), elapsed(started.elapsed()));
                if terminal {
                    redraw(&line);
                } else {
                    say(&line);
                }
            }
        });
        Self {
            title,
            started,
            ticker: Some((stop, thread)),
        }
    }

    /// Starts a step whose command writes to the terminal itself.
    pub(crate) fn loud(title: impl Into<String>) -> Self {
        let title = title.into();
        say(&format!("… {title}"));
        Self {
            title,
            started: Instant::now(),
            ticker: None,
        }
    }

    /// Ends well; `note` says what was found.
    pub(crate) fn passed(self, note: &str) {
        self.end('✓', note);
    }

    /// Ends badly.
    pub(crate) fn failed(self, note: &str) {
        self.end('✗', note);
    }

    fn end(mut self, mark: char, note: &str) {
        let quiet = self.stop();
        if quiet && std::io::stdout().is_terminal() {
            redraw("");
        }
        let note = if note.is_empty() {
            String::new()
        } else {
            format!(": {note}")
        };
        say(&format!(
            "{mark} {}{note} ({})",
            self.title,
            elapsed(self.started.elapsed())
        ));
    }

    fn stop(&mut self) -> bool {
        let Some((stop, thread)) = self.ticker.take() else {
            return false;
        };
        drop(stop);
        // A ticker that panicked has nothing left to draw.
        let _ = thread.join();
        true
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.stop() && std::io::stdout().is_terminal() {
            say("");
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a command-line tool talks on standard output"
)]
fn redraw(line: &str) {
    print!("\r\x1b[K{line}");
    // A closed terminal is noticed by the next line that is printed.
    let _ = std::io::stdout().flush();
}

/// Short enough for one line of a terminal, for only one line can be drawn again.
fn running(title: &str) -> String {
    const ROOM: usize = 60;
    let short: String = title.chars().take(ROOM).collect();
    let more = if title.chars().count() > ROOM {
        "…"
    } else {
        ""
    };
    format!("… {short}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_to_read() {
        assert_eq!(elapsed(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(150)), "2.5 min");
    }

    #[test]
    fn a_long_title_fits_a_terminal_while_it_runs() {
        assert_eq!(running("clippy"), "… clippy");
        assert!(running(&"x".repeat(200)).chars().count() < 80);
    }
}

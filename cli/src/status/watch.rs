//! `lanyard status --watch`: drawn anew on a terminal, appended anywhere else.

use std::{
    io::{self, IsTerminal as _, Write},
    thread,
    time::Duration,
};

use lanyard_protocol::control::Status;
use rustix::termios::tcgetwinsize;

use super::{document::Document, fetch, page::Page};
use crate::{
    args::{Format, OutputArgs, Place},
    failure::Failure,
};

/// How often the node agent is asked.
const EACH: Duration = Duration::from_secs(1);

/// Lines of a terminal that does not say how many it has.
const LINES: usize = 24;

/// Shows the status until it cannot be shown any more.
pub(super) fn watch(
    place: &Place,
    output: OutputArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let is_drawn = output.format == Format::Table && io::stdout().is_terminal();
    let mut before = None;
    loop {
        let status = fetch(place)?;
        let changed = without_time(&status);
        if is_drawn {
            let lines = terminal_lines();
            out.write_all(drawn(&Page(&status).to_string(), lines).as_bytes())?;
        } else if before.as_ref() != Some(&changed) {
            append(status, output.format, before.is_some(), out)?;
        }
        out.flush()?;
        before = Some(changed);
        thread::sleep(EACH);
    }
}

fn terminal_lines() -> usize {
    let size = tcgetwinsize(io::stdout());
    size.ok()
        .map(|size| usize::from(size.ws_row))
        .filter(|lines| *lines > 0)
        .unwrap_or(LINES)
}

/// What has to differ for a status to be told again: time passes anyway.
fn without_time(status: &Status) -> Status {
    let mut status = status.clone();
    for grant in &mut status.grants {
        grant.left_millis = 0;
    }
    status
}

fn append(
    status: Status,
    format: Format,
    is_further: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match format {
        Format::Table => {
            if is_further {
                writeln!(out)?;
            }
            write!(out, "{}", Page(&status))?;
        }
        Format::Json => {
            let document = Document::from(status);
            serde_json::to_writer(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// The page over what stood there before, without a moment of emptiness: home, each line cleared to its end
/// and not wrapped, and then the rest of the screen (ECMA-48; DECAWM).
fn drawn(page: &str, lines: usize) -> String {
    let all: Vec<_> = page.lines().collect();
    let room = lines.saturating_sub(1).max(1);
    let (shown, hidden) = if all.len() > room {
        let shown = room - 1;
        (&all[..shown], all.len() - shown)
    } else {
        (&all[..], 0)
    };
    let mut text = "\x1b[?7l\x1b[H".to_owned();
    for line in shown {
        text += line;
        text += "\x1b[K\r\n";
    }
    if hidden > 0 {
        text += "... ";
        text += &hidden.to_string();
        text += " more lines: this terminal is too low\x1b[K\r\n";
    }
    text + "\x1b[J\x1b[?7h"
}

#[cfg(test)]
mod tests {
    use lanyard_protocol::control::GrantStatus;

    use super::*;

    #[test]
    fn a_page_that_is_too_long_for_the_terminal_is_cut_and_says_so() {
        let page = "a\nb\nc\nd\n";
        assert_eq!(
            drawn(page, 24).matches("\x1b[K\r\n").count(),
            4,
            "all of it"
        );
        let cut = drawn(page, 4);
        assert!(
            cut.contains("b\x1b[K") && !cut.contains("c\x1b[K"),
            "{cut:?}"
        );
        assert!(cut.contains("... 2 more lines"), "{cut:?}");
        assert!(!drawn(page, 0).is_empty());
    }

    #[test]
    fn time_that_passes_is_no_change() {
        let status = |left_millis, reason: &str| Status {
            grants: vec![GrantStatus {
                left_millis,
                reason: reason.into(),
                ..GrantStatus::default()
            }],
            ..Status::default()
        };
        let before = without_time(&status(1000, "Active"));
        assert_eq!(before, without_time(&status(1, "Active")));
        assert_ne!(before, without_time(&status(0, "Expired")));
    }
}

//! `lanyard doctor`: what this machine offers, what stays open on it, and what to do.
//!
//! `gather` looks, `findings` decides, here it is printed.

mod facts;
mod findings;
mod gather;

use std::{
    fmt::{self, Display, Formatter},
    io::{self, Write},
    path::Path,
};

use serde::Serialize;
use thiserror::Error;

use self::findings::{Finding, State};
use crate::{
    args::{DoctorArgs, Environment, Format, Place},
    failure::Failure,
    terminal::printable,
};

/// Why the doctor does not say that all is well.
#[derive(Debug, Error)]
pub(crate) enum DoctorError {
    #[error("{0} of what nothing is enforced without is missing on this machine")]
    Missing(usize),
}

/// What was found, as programs read it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    tier: &'a str,
    findings: &'a [Finding],
}

/// Looks, and prints what it means.
pub(crate) fn doctor(
    place: &Place,
    args: &DoctorArgs,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let facts = gather::facts(place, &Environment::read(), Path::new("."));
    let findings = findings::findings(&facts);
    let tier = findings::tier(&facts);
    match args.output.format {
        Format::Table => write!(
            out,
            "{}",
            Page {
                tier,
                findings: &findings
            }
        )?,
        Format::Json => {
            let document = Document {
                format: 1,
                tier,
                findings: &findings,
            };
            serde_json::to_writer_pretty(&mut *out, &document).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    let missing = findings
        .iter()
        .filter(|finding| finding.state == State::Missing);
    match missing.count() {
        0 => Ok(()),
        count => Err(DoctorError::Missing(count).into()),
    }
}

/// As people read it: what it offers, then what is open and what is closed.
struct Page<'a> {
    tier: &'a str,
    findings: &'a [Finding],
}

impl Display for Page<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "Tier: {}", self.tier)?;
        for (title, states) in [
            (
                "What this machine offers",
                &[State::Missing, State::Degraded, State::Good, State::Unknown][..],
            ),
            ("What stays open", &[State::Open]),
            ("What is closed here", &[State::Closed]),
        ] {
            let of_it: Vec<_> = self
                .findings
                .iter()
                .filter(|finding| states.contains(&finding.state))
                .collect();
            if of_it.is_empty() {
                continue;
            }
            writeln!(formatter, "\n{title}:\n")?;
            for finding in of_it {
                write_finding(finding, formatter)?;
            }
        }
        Ok(())
    }
}

fn write_finding(finding: &Finding, formatter: &mut Formatter<'_>) -> fmt::Result {
    let mark = match finding.state {
        State::Good | State::Closed => "ok",
        State::Missing => "MISSING",
        State::Degraded => "less",
        State::Open => "open",
        State::Unknown => "?",
    };
    let (about, says) = (finding.about, printable(&finding.says));
    writeln!(formatter, "  {mark:<8} {about}: {says}")?;
    if finding.remedy.is_empty() {
        return Ok(());
    }
    writeln!(formatter, "  {:<8} -> {}", "", finding.remedy)
}

#[cfg(test)]
mod tests {
    use super::{findings::sample, *};

    #[test]
    fn a_page_has_a_section_for_what_is_offered_open_and_closed() {
        let mut facts = sample::machine();
        facts.kernel.lacking = vec!["BPF_CGROUP_SOCK_OPS"];
        let findings = findings::findings(&facts);
        let tier = findings::tier(&facts);
        let page = Page {
            tier,
            findings: &findings,
        }
        .to_string();
        for part in [
            "Tier: none\n",
            "\nWhat this machine offers:\n\n  ok       kernel: Linux 6.18.5 on x86_64\n",
            "  MISSING  hooks and helpers: the kernel has no BPF_CGROUP_SOCK_OPS\n           -> use",
            "\nWhat stays open:\n\n",
            "\nWhat is closed here:\n\n",
        ] {
            assert!(page.contains(part), "{part:?} is not in\n{page}");
        }
    }
}

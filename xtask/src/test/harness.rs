//! Running one test program to its end, or to its deadline.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::results;
use super::tier::Tier;
use crate::artifacts::TestProgram;
use crate::command::stdout_of;
use crate::console::{elapsed, quote, say};
use crate::counts::Counts;
use crate::generate;
use crate::kernel_object;

/// Longer than any program of tests takes on a slow machine; a hung one must not hold CI.
const DEADLINE: Duration = Duration::from_mins(10);

/// How often a program that prints nothing is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Where tests find what was built.
pub(crate) struct Surroundings {
    pub(crate) object: PathBuf,
    pub(crate) programs: PathBuf,
}

/// What a program printed and how it ended; no status when it met its deadline.
pub(crate) struct Ended {
    pub(crate) status: Option<ExitStatus>,
    pub(crate) text: String,
}

impl Surroundings {
    pub(crate) fn add_to(&self, command: &mut Command) {
        command
            .env(kernel_object::VARIABLE, &self.object)
            .env("LANYARD_BIN_DIR", &self.programs);
        generate::only_compare(command);
    }
}

/// Runs a test program and prints what a reader needs: a line when it passes, all when it fails.
pub(crate) fn run(
    test: &TestProgram,
    tier: Tier,
    surroundings: &Surroundings,
) -> anyhow::Result<Counts> {
    let mut command = command_for(test, surroundings);
    let processors = thread::available_parallelism().context("count the processors")?;
    if let Some(threads) = tier.threads(processors.get()) {
        command.arg(format!("--test-threads={threads}"));
    }
    let started = Instant::now();
    let ended = watch(&mut command, |line| {
        if tier.shows_each_test() && results::reports_one_test(line) {
            say(&format!("  {line}"));
        }
    })?;
    let counts = verdict(&ended);
    if counts.failed > 0 {
        quote(&ended.text);
    }
    if counts.total() == 0 {
        return Ok(counts);
    }
    let mark = if counts.failed == 0 { '✓' } else { '✗' };
    say(&format!(
        "{mark} {}: {counts} ({})",
        title(test),
        elapsed(started.elapsed())
    ));
    if ended.status.is_none() {
        say(&format!(
            "  it was still running after {} and was ended",
            elapsed(DEADLINE)
        ));
    }
    Ok(counts)
}

/// How many tests a program has.
pub(crate) fn count(test: &TestProgram, surroundings: &Surroundings) -> anyhow::Result<usize> {
    let listed = stdout_of(command_for(test, surroundings).args(["--list", "--format", "terse"]))?;
    Ok(results::listed(&listed))
}

/// Runs a program to its end, handing over each line as it comes.
pub(crate) fn watch(command: &mut Command, each_line: impl FnMut(&str)) -> anyhow::Result<Ended> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().to_string_lossy()))?;
    let (sender, lines) = channel();
    forward(child.stdout.take(), sender.clone());
    forward(child.stderr.take(), sender);
    collect(&mut child, &lines, each_line)
}

fn collect(
    child: &mut Child,
    lines: &Receiver<String>,
    mut each_line: impl FnMut(&str),
) -> anyhow::Result<Ended> {
    let deadline = Instant::now() + DEADLINE;
    let mut text = String::new();
    let mut take = |line: String| {
        each_line(&line);
        text.push_str(&line);
        text.push('\n');
    };
    // A daemon that outlives its test may hold the pipes open, so the end of the program counts,
    // not the end of its output.
    let status = loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => take(line),
            Err(RecvTimeoutError::Disconnected) => {
                break Some(child.wait().context("wait for a program")?);
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some(status) = child.try_wait().context("look at a program")? {
                    lines.try_iter().for_each(&mut take);
                    break Some(status);
                }
            }
        }
        if Instant::now() >= deadline {
            child.kill().context("end a program")?;
            child.wait().context("wait for a program")?;
            // Its last line, without an end, names the test that hung.
            while let Ok(line) = lines.recv_timeout(LOOK) {
                take(line);
            }
            break None;
        }
    };
    Ok(Ended { status, text })
}

fn forward(stream: Option<impl Read + Send + 'static>, lines: Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader
            .read_until(b'\n', &mut bytes)
            .is_ok_and(|read| read > 0)
        {
            let line = String::from_utf8_lossy(&bytes)
                .trim_end_matches('\n')
                .to_owned();
            if lines.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    });
}

fn command_for(test: &TestProgram, surroundings: &Surroundings) -> Command {
    let mut command = Command::new(&test.executable);
    // As `cargo test` does it.
    command
        .current_dir(&test.folder)
        .env("CARGO_MANIFEST_DIR", &test.folder)
        .env_remove("LD_LIBRARY_PATH");
    surroundings.add_to(&mut command);
    command
}

/// A program that ended badly has failed, whatever it had counted; so has one that counted nothing.
fn verdict(ended: &Ended) -> Counts {
    let counted = ended
        .text
        .lines()
        .any(|line| results::of_line(line).is_some());
    let mut counts = if counted {
        results::sum(&ended.text)
    } else {
        results::tally(&ended.text)
    };
    if !counted || !ended.status.is_some_and(|status| status.success()) {
        counts.failed = counts.failed.max(1);
    }
    counts
}

fn title(test: &TestProgram) -> String {
    match test.kind.as_str() {
        "test" => format!("{} tests/{}", test.package, test.name),
        kind => format!("{} {kind}", test.package),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Ended {
        watch(Command::new("sh").args(["-c", script]), |_| ()).unwrap()
    }

    const RESULT: &str = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured'";

    #[test]
    fn a_program_that_passes_is_counted() {
        assert_eq!(verdict(&shell(RESULT)), Counts::passed(2));
    }

    #[test]
    fn a_program_that_crashes_after_its_result_has_failed() {
        assert_eq!(
            verdict(&shell(&format!("{RESULT}; kill -SEGV $$"))).failed,
            1
        );
    }

    #[test]
    fn a_program_that_counts_nothing_has_failed() {
        assert_eq!(verdict(&shell("exit 0")), Counts::failed(1));
    }

    #[test]
    fn both_streams_are_kept_and_each_line_is_shown() {
        let mut seen = Vec::new();
        let ended = watch(
            Command::new("sh").args(["-c", "echo out; echo err >&2"]),
            |line| seen.push(line.to_owned()),
        );
        seen.sort();
        assert_eq!(seen, ["err", "out"]);
        assert!(ended.unwrap().text.contains("err"));
    }

    #[test]
    fn a_daemon_left_behind_does_not_hold_the_run() {
        let ended = shell("sleep 5 & echo done");
        assert!(ended.status.unwrap().success());
        assert_eq!(ended.text, "done\n");
    }
}

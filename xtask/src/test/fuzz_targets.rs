//! The fuzz targets: each is tried for some seconds, from its seeds and from what earlier runs came upon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;

use super::harness::{self, Ended};
use crate::command::{aloud, stdout_of};
use crate::console::{Step, elapsed, quote, say};
use crate::context::Context;
use crate::counts::Counts;
use crate::metadata::Workspace;
use crate::setup::cargo_fuzz;

/// The folder of the crate. Cargo's settings in it make its programs fast.
const FOLDER: &str = "fuzz";

/// How long each target is tried.
const SECONDS: u32 = 10;

/// How long one input may take on a machine that is busy.
const PATIENCE: u32 = 60;

/// Builds and tries every target, as many at a time as there are processors.
pub(crate) fn run(context: &Context) -> anyhow::Result<Counts> {
    let names = names(context)?;
    let programs = build(context)?;
    let at_a_time = thread::available_parallelism().map_or(1, usize::from);
    let mut counts = Counts::default();
    for some in names.chunks(at_a_time) {
        counts += thread::scope(|scope| {
            let trials: Vec<_> = some
                .iter()
                .map(|name| {
                    scope.spawn(|| Counts::or_failed(Target::new(context, &programs, name).run()))
                })
                .collect();
            let ended = trials.into_iter().map(thread::ScopedJoinHandle::join);
            ended
                .map(|counts| counts.unwrap_or_else(|_| Counts::failed(1)))
                .sum::<Counts>()
        });
    }
    Ok(counts)
}

fn names(context: &Context) -> anyhow::Result<Vec<String>> {
    let workspace = Workspace::read(context)?;
    let package = workspace
        .packages
        .iter()
        .find(|package| workspace.folder(package) == FOLDER)
        .context("find the crate of the fuzz targets")?;
    let programs = package.targets.iter().filter(|target| target.is("bin"));
    Ok(programs.map(|target| target.name.clone()).collect())
}

/// Builds them, and gives the folder they are in. Without a sanitizer, for which a stable compiler is enough: they
/// have no unsafe code that it would watch.
fn build(context: &Context) -> anyhow::Result<PathBuf> {
    let version = stdout_of(Command::new("rustc").arg("-vV").current_dir(&context.root))?;
    let host = host(&version).context("learn from rustc which machine this is")?;
    let step = Step::loud("building the fuzz targets");
    let mut command = context.tool(&cargo_fuzz(context), FOLDER);
    command.args(["build", "--dev", "--sanitizer", "none", "--target", host]);
    let result = aloud(command.arg("--fuzz-dir").arg(context.root.join(FOLDER)));
    match &result {
        Ok(()) => step.passed(""),
        Err(_) => step.failed(""),
    }
    result.map(|()| context.target().join(host).join("debug"))
}

/// Of `rustc -vV`.
fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

/// One program, and where it finds and leaves things.
struct Target<'a> {
    name: &'a str,
    program: PathBuf,
    /// What is in the checkout.
    seeds: PathBuf,
    /// What earlier runs came upon.
    corpus: PathBuf,
    /// Where the input that fails is left.
    failures: PathBuf,
}

impl<'a> Target<'a> {
    fn new(context: &Context, programs: &Path, name: &'a str) -> Self {
        let kept = context.target().join(FOLDER);
        Self {
            name,
            program: programs.join(name),
            seeds: context.root.join(FOLDER).join("seeds").join(name),
            corpus: kept.join("corpus").join(name),
            failures: kept.join("failures"),
        }
    }

    fn run(&self) -> anyhow::Result<Counts> {
        for folder in [&self.corpus, &self.failures] {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        let seeds = fs::read_dir(&self.seeds)
            .with_context(|| format!("list {}", self.seeds.display()))?
            .count();
        let started = Instant::now();
        let ended = harness::watch(&mut self.command(), |_| ())?;
        let took = elapsed(started.elapsed());
        let verdict = verdict(&ended, seeds);
        match verdict {
            Ok(tried) => say(&format!("✓ {}: {tried} inputs ({took})", self.name)),
            Err(why) => {
                quote(&without_progress(&ended.text));
                say(&format!("✗ {}: {why} ({took})", self.name));
                if let Some(input) = failing_input(&ended.text) {
                    say(&format!(
                        "  to try it again: {} {input}",
                        self.program.display()
                    ));
                }
            }
        }
        Ok(verdict.map_or(Counts::failed(1), |_| Counts::passed(1)))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(&self.corpus)
            .arg(&self.seeds)
            .arg(format!("-max_total_time={SECONDS}"))
            .arg(format!("-timeout={PATIENCE}"))
            .arg("-print_final_stats=1")
            .arg(format!(
                "-artifact_prefix={}/{}-",
                self.failures.display(),
                self.name
            ));
        command
    }
}

/// How many inputs were tried. Fewer than there are seeds prove nothing.
fn verdict(ended: &Ended, seeds: usize) -> Result<usize, &'static str> {
    if !ended.status.is_some_and(|status| status.success()) {
        return Err("an input was found for which it does not hold");
    }
    match tried(&ended.text) {
        Some(tried) if seeds > 0 && tried > seeds => Ok(tried),
        Some(_) | None => Err("hardly anything was tried"),
    }
}

fn tried(text: &str) -> Option<usize> {
    let mut lines = text.lines();
    lines.find_map(|line| {
        let count = line.strip_prefix("stat::number_of_executed_units:")?;
        count.trim().parse().ok()
    })
}

/// The file that libFuzzer left.
fn failing_input(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Test unit written to ")?;
    rest.lines().next()
}

/// What libFuzzer prints while it goes on is of no use to a reader.
fn without_progress(text: &str) -> String {
    let is_progress = |line: &&str| line.starts_with(['#', '\t']) || line.starts_with("INFO: ");
    let lines: Vec<&str> = text.lines().filter(|line| !is_progress(line)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn ended(code: i32, text: &str) -> Ended {
        Ended {
            status: Some(ExitStatus::from_raw(code << 8)),
            text: text.into(),
        }
    }

    #[test]
    fn a_target_has_passed_when_it_tried_more_than_its_seeds() {
        let text = "#2\tINITED\nDone 900 runs\nstat::number_of_executed_units: 900\n";
        assert_eq!(verdict(&ended(0, text), 7), Ok(900));
        assert!(verdict(&ended(0, text), 900).is_err());
        assert!(verdict(&ended(0, text), 0).is_err());
        assert!(verdict(&ended(0, ""), 7).is_err());
        assert!(verdict(&ended(77, text), 7).is_err());
    }

    #[test]
    fn the_input_that_fails_is_named() {
        let text = "#9\tNEW\npanicked\nartifact_prefix='/t/'; Test unit written to /t/dns-crash-1\nBase64: AA==\n";
        assert_eq!(failing_input(text), Some("/t/dns-crash-1"));
        assert!(!without_progress(text).contains("NEW"));
        assert!(without_progress(text).contains("panicked"));
    }

    #[test]
    fn the_host_is_what_rustc_says() {
        assert_eq!(
            host("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\n"),
            Some("x86_64-unknown-linux-gnu")
        );
        assert_eq!(host(""), None);
    }
}

//! `cargo xtask test`: every tier this machine can run, in order, and what it could not.

mod demo_scenes;
mod fuzz_targets;
mod harness;
mod machine;
mod results;
mod tier;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::artifacts::{self, Artifacts, TestProgram};
use crate::command;
use crate::console::{elapsed, quote, say};
use crate::context::Context;
use crate::counts::Counts;
use crate::images;
use crate::kernel_object;
use crate::lab;
use crate::setup::{self, Need};

pub(crate) use harness::Surroundings;
use machine::{Machine, Obstacle};
use tier::Tier;

/// `cargo xtask test`.
pub(crate) fn run(context: &Context) -> ExitCode {
    Counts::or_failed(run_tiers(context)).close()
}

fn run_tiers(context: &Context) -> anyhow::Result<Counts> {
    setup::ready(
        context,
        &[
            Need::Build,
            Need::KernelPrograms,
            Need::Run,
            Need::Fuzz,
            Need::Cluster,
        ],
    )?;
    let started = Instant::now();
    let object = kernel_object::build(context)?;
    let artifacts = artifacts::build(context, &object)?;
    let surroundings = Surroundings {
        object,
        programs: artifacts::programs(context),
    };
    let build = started.elapsed();
    let machine = Machine::inspect()?;

    let mut rows = vec![format!(
        "  build   {:>8}  {}",
        elapsed(build),
        artifacts.temperature()
    )];
    let mut sum = Counts::default();
    for tier in Tier::ALL {
        let started = Instant::now();
        let counts = Counts::or_failed(run_tier(
            context,
            *tier,
            &artifacts,
            &machine,
            &surroundings,
        ));
        rows.push(row(*tier, started.elapsed(), counts));
        sum += counts;
    }

    say("\nTime by tier:");
    for row in &rows {
        say(row);
    }
    Ok(sum)
}

fn row(tier: Tier, took: Duration, counts: Counts) -> String {
    format!("  {:<7} {:>8}  {counts}", tier.name(), elapsed(took))
}

fn run_tier(
    context: &Context,
    tier: Tier,
    artifacts: &Artifacts,
    machine: &Machine,
    surroundings: &Surroundings,
) -> anyhow::Result<Counts> {
    say(&format!("\n== {}: {}", tier.name(), tier.proves()));
    let tests: Vec<&TestProgram> = artifacts
        .tests
        .iter()
        .filter(|test| Tier::of(test) == tier)
        .collect();
    if let Some(obstacle) = machine.obstacle(tier) {
        return skip(context.ci, tier, obstacle, &tests, surroundings);
    }
    if tier == Tier::Cluster {
        lab::build(&surroundings.programs)?;
        images::of_development(context)?;
    }
    let mut counts = Counts::default();
    for test in &tests {
        counts += harness::run(test, tier, surroundings)?;
    }
    counts += match tier {
        Tier::Unit => doc_tests(context, surroundings)?,
        Tier::Fuzz => fuzz_targets::run(context)?,
        Tier::Demo => demo_scenes::run(surroundings)?,
        Tier::Kernel | Tier::EndToEnd | Tier::Cluster => Counts::default(),
    };
    if counts.total() == 0 {
        say("✗ this tier has no test: one that is not found proves nothing");
        return Ok(Counts::failed(1));
    }
    if context.ci && counts.skipped > 0 {
        say("✗ CI is set: an ignored test is a failure");
        return Ok(counts.without_skips());
    }
    Ok(counts)
}

/// Counts what a tier would have run. Where CI is set, only what no such machine can run may be
/// skipped.
fn skip(
    ci: bool,
    tier: Tier,
    obstacle: Obstacle,
    tests: &[&TestProgram],
    surroundings: &Surroundings,
) -> anyhow::Result<Counts> {
    let mut count = 0;
    for test in tests {
        count += harness::count(test, surroundings)?;
    }
    // A tier without test programs of its own, as the demo is, counts as one.
    let counts = Counts::skipped(count.max(1));
    say(&format!(
        "skipped {} of {}: {}",
        counts.skipped,
        tier.name(),
        obstacle.reason()
    ));
    match (ci, obstacle.not_possible_here()) {
        (true, None) => {
            say("✗ CI is set, and this could be mended on this machine: a failure");
            Ok(counts.without_skips())
        }
        (true, Some(reason)) => {
            say(&format!(
                "CI is set; not possible on this machine: {reason}"
            ));
            Ok(counts)
        }
        (false, _) => Ok(counts),
    }
}

/// The examples in the documentation of our libraries.
fn doc_tests(context: &Context, surroundings: &Surroundings) -> anyhow::Result<Counts> {
    // Without naming packages: the same selection as the build, hence nothing to compile again.
    let mut command = context.cargo(&["test", "--quiet", "--doc"]);
    surroundings.add_to(&mut command);
    let finished = command::capture(&mut command)?;
    let mut counts = results::sum(&finished.text);
    if !finished.status.success() {
        quote(&finished.text);
        counts.failed = counts.failed.max(1);
    }
    let mark = if counts.failed == 0 { '✓' } else { '✗' };
    say(&format!("{mark} examples in documentation: {counts}"));
    Ok(counts)
}

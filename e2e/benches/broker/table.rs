//! Tables, as `cargo xtask bench` reads them: a line with the columns, of which the first is `name`, then the rows.

use std::time::Duration;

use crate::load::Measured;

/// What is not known.
const NOTHING: &str = "–";

/// The median of what rounds gave.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// How often in a second.
pub(crate) fn rate(measured: &Measured) -> f64 {
    let found = &measured.found;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let count = found.count as f64;
    count / found.seconds.max(f64::EPSILON)
}

/// How often in a second on a processor of who was measured.
pub(crate) fn rate_of_processor(measured: &Measured) -> Option<f64> {
    let used: Duration = measured.processor.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let count = measured.found.count as f64;
    (!used.is_zero()).then(|| count / used.as_secs_f64())
}

/// Its parts' memory, in MiB.
pub(crate) fn resident(runs: &[Measured]) -> String {
    let parts = runs.first().map_or(0, |run| run.resident.len());
    let of = |part: usize| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let of_run = |run: &Measured| run.resident.get(part).map(|kib| *kib as f64 / 1024.0);
        median(runs.iter().filter_map(of_run)).map(|mib| format!("{mib:.1}"))
    };
    let told: Vec<String> = (0..parts).filter_map(of).collect();
    if told.is_empty() {
        NOTHING.to_owned()
    } else {
        told.join(" + ")
    }
}

/// A whole number.
pub(crate) fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.0}"))
}

/// How it compares with another.
pub(crate) fn ratio(value: Option<f64>, other: Option<f64>) -> String {
    let both = value.zip(other.filter(|other| *other > 0.0));
    both.map_or_else(
        || NOTHING.to_owned(),
        |(value, other)| format!("{:.2}", value / other),
    )
}

/// Prints the line with the columns.
pub(crate) fn columns(columns: &[&str]) {
    println!("\nname | {}", columns.join(" | "));
}

/// Prints a row.
pub(crate) fn row(name: &str, cells: &[String]) {
    println!("{name} | {}", cells.join(" | "));
}

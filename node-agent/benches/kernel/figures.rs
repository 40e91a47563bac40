//! Figures and how they are told.

use std::fmt;

/// Rows by name, in the order in which they came first.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    unit: Unit,
    values: Vec<f64>,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Less is better.
    Nanoseconds,
    /// More is better: the worst are the lowest.
    MebibytesPerSecond,
    /// None is best.
    Count,
}

impl Table {
    /// Adds values to the row of that name.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, values: impl IntoIterator<Item = f64>) {
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                unit,
                values: Vec::new(),
            });
            self.rows.len() - 1
        });
        self.rows[place].values.extend(values);
    }

    /// Prints every row: `name | runs | median | p99`, the last being what is worse than all but one in a hundred.
    pub(crate) fn print(&mut self) {
        println!("name | runs | median | p99");
        for row in &mut self.rows {
            row.values.sort_by(f64::total_cmp);
            if !row.unit.is_less_better() {
                row.values.reverse();
            }
            println!(
                "{} | {} | {} | {}",
                row.name,
                row.values.len(),
                Told(quantile(&row.values, 50), row.unit),
                Told(quantile(&row.values, 99), row.unit)
            );
        }
    }
}

impl Unit {
    const fn is_less_better(self) -> bool {
        match self {
            Self::Nanoseconds | Self::Count => true,
            Self::MebibytesPerSecond => false,
        }
    }
}

struct Told(f64, Unit);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = self;
        match unit {
            Unit::Nanoseconds => write!(f, "{:.2}", value / 1_000.0),
            Unit::MebibytesPerSecond => write!(f, "{value:.0} MiB/s"),
            Unit::Count => write!(f, "{value:.0} lost"),
        }
    }
}

/// Of sorted values, the one that `percent` of them do not pass.
fn quantile(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

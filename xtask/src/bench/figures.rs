//! From what benches print to the section of the page that holds it.

use std::fmt;

use anyhow::{Context as _, bail};

use super::machine::Machine;

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench` -->";
const END: &str = "<!-- end of figures -->";
const TITLE: &str = "# Benchmarks\n\n";

/// The rows of one bench, under the command that printed them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    command: String,
    rows: Vec<[String; 4]>,
    /// What a bench says beside its rows.
    words: Vec<String>,
}

impl Table {
    /// Picks the rows `name | runs | median | p99` out of what a bench printed.
    pub(crate) fn read(command: &str, printed: &str) -> Self {
        let words = printed.lines().map(str::trim);
        Self {
            command: command.to_owned(),
            rows: printed.lines().filter_map(row).collect(),
            words: words
                .filter(|line| !line.is_empty() && !line.contains('|'))
                .map(str::to_owned)
                .collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| name | runs | median | p99 |\n|---|---:|---:|---:|")?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        self.words
            .iter()
            .try_for_each(|words| writeln!(f, "\n{words}"))
    }
}

/// The part of the page that is written anew.
pub(crate) fn section(machine: &Machine, tables: &[Table]) -> String {
    let mut text = format!(
        "Machine: {machine}. Command: `cargo xtask bench`. A time without a unit is in microseconds.\n"
    );
    for table in tables {
        text.extend(["\n`", &table.command, "`\n\n", &table.to_string()]);
    }
    text
}

/// The page with its figures renewed; what a person wrote around them stays.
pub(crate) fn renew(page: Option<&str>, section: &str) -> anyhow::Result<String> {
    let block = format!("{BEGIN}\n\n{section}\n{END}");
    let Some(page) = page else {
        return Ok(format!("{TITLE}{block}\n"));
    };
    let Some((before, rest)) = page.split_once(BEGIN) else {
        bail!("the page has no line {BEGIN}")
    };
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("the page has no line {END}"))?;
    Ok(format!("{before}{block}{after}"))
}

/// Four cells, of which the second is a number: a heading is no row.
fn row(line: &str) -> Option<[String; 4]> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|');
    let cells: Vec<String> = line.split('|').map(|cell| cell.trim().to_owned()).collect();
    let row: [String; 4] = cells.try_into().ok()?;
    row[1].replace([',', '_', ' '], "").parse::<u64>().ok()?;
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "
warming up
name | runs | median | p99
connect, granted | 10,000 | 25.3 us | 31.0 us
| decide, 10k grants | 1000 | 210 ns | 260 ns |
a | b
";

    #[test]
    fn rows_are_picked_out_of_what_a_bench_printed() {
        let table = Table::read("cargo bench", PRINTED);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(
            table.rows[1],
            ["decide, 10k grants", "1000", "210 ns", "260 ns"]
        );
        assert_eq!(table.words, ["warming up"]);
        assert!(Table::read("cargo bench", "nothing").is_empty());
    }

    #[test]
    fn figures_are_renewed_and_words_around_them_stay() {
        let first = renew(None, "old\n").unwrap();
        assert!(first.starts_with("# Benchmarks"));
        let page = format!("Preface.\n{first}Afterword.\n");
        let page = renew(Some(&page), "new\n").unwrap();
        assert!(page.starts_with("Preface.") && page.ends_with("Afterword.\n"));
        assert!(page.contains("new") && !page.contains("old"));
    }

    #[test]
    fn a_page_without_a_place_for_figures_is_not_overwritten() {
        assert!(renew(Some("# By hand\n"), "new\n").is_err());
    }
}

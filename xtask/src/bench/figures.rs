//! From what benches print to the section of the page that holds it.

use std::fmt;

use anyhow::Context as _;

use super::machine::Machine;

const TITLE: &str = "# Benchmarks\n\n";

/// The rows of one bench, under the command that printed them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    name: String,
    command: String,
    rows: Vec<[String; 4]>,
    /// What a bench says beside its rows.
    words: Vec<String>,
}

impl Table {
    /// Picks the rows `name | runs | median | p99` out of what a bench printed.
    pub(crate) fn read(name: &str, command: &str, printed: &str) -> Self {
        let words = printed.lines().map(str::trim);
        Self {
            name: name.to_owned(),
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

/// The page with the figures of one bench renewed, or added at its end; all else on it stays.
pub(crate) fn renew(
    page: Option<&str>,
    table: &Table,
    machine: &Machine,
) -> anyhow::Result<String> {
    let Table { name, command, .. } = table;
    let begin = format!("<!-- figures of {name}: written by `cargo xtask bench {name}` -->");
    let end = format!("<!-- end of figures of {name} -->");
    let block = format!(
        "{begin}\n\nMachine: {machine}. Command: `{command}`. A time without a unit is in microseconds.\n\n{table}\n{end}"
    );
    let page = page.unwrap_or(TITLE);
    let Some((before, rest)) = page.split_once(&begin) else {
        let page = page.trim_end();
        return Ok(format!("{page}\n\n## {name}\n\n{block}\n"));
    };
    let (_, after) = rest
        .split_once(&end)
        .with_context(|| format!("the page has no line {end}"))?;
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
        let table = Table::read("b", "cargo bench", PRINTED);
        assert_eq!(table.rows.len(), 2);
        assert_eq!(
            table.rows[1],
            ["decide, 10k grants", "1000", "210 ns", "260 ns"]
        );
        assert_eq!(table.words, ["warming up"]);
        assert!(Table::read("b", "cargo bench", "nothing").is_empty());
    }

    fn printed(name: &str, value: &str) -> Table {
        let row = format!("cost | 10 | {value} | {value}");
        Table::read(name, "cargo bench", &row)
    }

    #[test]
    fn figures_of_one_bench_are_renewed_and_all_else_stays() {
        let machine = Machine::inspect().unwrap();
        let renew =
            |page: Option<&str>, name, value| renew(page, &printed(name, value), &machine).unwrap();
        let first = renew(None, "kernel", "1.0");
        assert!(first.starts_with("# Benchmarks"));
        let page = format!("Preface.\n{first}Afterword.\n");
        let page = renew(Some(&page), "kernel-ends", "2.0");
        let page = renew(Some(&page), "kernel", "3.0");
        assert!(page.starts_with("Preface.") && page.contains("Afterword.\n"));
        assert!(page.contains("3.0") && page.contains("2.0") && !page.contains("1.0"));
        assert_eq!(page.matches("## kernel\n").count(), 1);
    }

    #[test]
    fn a_page_whose_figures_have_no_end_is_not_overwritten() {
        let machine = Machine::inspect().unwrap();
        let page = renew(None, &printed("b", "1.0"), &machine).unwrap();
        let cut = page.split("<!-- end").next().unwrap();
        assert!(renew(Some(cut), &printed("b", "2.0"), &machine).is_err());
    }
}

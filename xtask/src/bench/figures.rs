//! From what benches print to the section of the page that holds it.

use std::fmt;

use anyhow::Context as _;

use super::machine::Machine;

const TITLE: &str = "# Benchmarks\n\n";

/// What one bench printed, under the command that it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    name: String,
    command: String,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Table(Table),
    /// What a bench says beside its rows.
    Words(String),
}

/// Rows under their columns, of which the first is the name.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// The columns where a bench does not say which.
const USUAL: [&str; 4] = ["name", "runs", "median", "p99"];

impl Figures {
    /// Picks the tables out of what a bench printed. A line whose first cell is `name` says what the columns of the
    /// rows after it are; a row has as many cells.
    pub(crate) fn read(name: &str, command: &str, printed: &str) -> Self {
        let mut parts = Vec::new();
        let mut columns = USUAL.map(str::to_owned).to_vec();
        for line in printed.lines().map(str::trim) {
            if !line.contains('|') {
                if !line.is_empty() {
                    parts.push(Part::Words(line.to_owned()));
                }
                continue;
            }
            let cells = cells(line);
            if cells[0] == USUAL[0] {
                columns = cells;
                parts.push(Part::Table(Table::of(&columns)));
            } else if cells.len() == columns.len() && is_row(&columns, &cells) {
                match parts.last_mut() {
                    Some(Part::Table(table)) => table.rows.push(cells),
                    Some(Part::Words(_)) | None => {
                        let mut table = Table::of(&columns);
                        table.rows.push(cells);
                        parts.push(Part::Table(table));
                    }
                }
            }
        }
        parts.retain(|part| !matches!(part, Part::Table(table) if table.rows.is_empty()));
        Self {
            name: name.to_owned(),
            command: command.to_owned(),
            parts,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let is_table = |part: &Part| matches!(part, Part::Table(_));
        !self.parts.iter().any(is_table)
    }
}

impl Table {
    fn of(columns: &[String]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match part {
                Part::Words(words) => writeln!(f, "{words}")?,
                Part::Table(Table { columns, rows }) => {
                    writeln!(f, "| {} |", columns.join(" | "))?;
                    writeln!(f, "|---|{}", "---:|".repeat(columns.len() - 1))?;
                    for row in rows {
                        writeln!(f, "| {} |", row.join(" | "))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The page with the figures of one bench renewed, or added at its end; all else on it stays.
pub(crate) fn renew(
    page: Option<&str>,
    figures: &Figures,
    machine: &Machine,
) -> anyhow::Result<String> {
    let Figures { name, command, .. } = figures;
    let begin = format!("<!-- figures of {name}: written by `cargo xtask bench {name}` -->");
    let end = format!("<!-- end of figures of {name} -->");
    let block = format!(
        "{begin}\n\nMachine: {machine}. Command: `{command}`. A time without a unit is in microseconds.\n\n{figures}\n{end}"
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

fn cells(line: &str) -> Vec<String> {
    let line = line.trim_start_matches('|').trim_end_matches('|');
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Of the usual columns the second is a number: what else has four cells is no row.
fn is_row(columns: &[String], cells: &[String]) -> bool {
    let is_number = |cell: &str| cell.replace([',', '_', ' '], "").parse::<u64>().is_ok();
    columns != USUAL || is_number(&cells[1])
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
        let figures = Figures::read("b", "cargo bench", PRINTED);
        assert_eq!(
            figures.to_string(),
            "warming up

| name | runs | median | p99 |
|---|---:|---:|---:|
| connect, granted | 10,000 | 25.3 us | 31.0 us |
| decide, 10k grants | 1000 | 210 ns | 260 ns |
"
        );
        assert!(Figures::read("b", "cargo bench", "nothing").is_empty());
        assert!(Figures::read("b", "cargo bench", "name | runs").is_empty());
    }

    #[test]
    fn a_bench_has_as_many_tables_with_as_many_columns_as_it_says() {
        let printed =
            "one\nname | rate\na | 1 | 2\na | 1\n\ntwo\nname | x | y\na | 1 | 2\nb | – | 3\n";
        let figures = Figures::read("b", "cargo bench", printed);
        assert_eq!(
            figures.to_string(),
            "one

| name | rate |
|---|---:|
| a | 1 |

two

| name | x | y |
|---|---:|---:|
| a | 1 | 2 |
| b | – | 3 |
"
        );
    }

    fn printed(name: &str, value: &str) -> Figures {
        let row = format!("cost | 10 | {value} | {value}");
        Figures::read(name, "cargo bench", &row)
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

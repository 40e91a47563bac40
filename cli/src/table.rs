//! Columns aligned by the width that their text has on a terminal.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::terminal::printable;

const GAP: usize = 2;

/// A header and rows of as many cells.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) fn new(header: [&str; N]) -> Self {
        Self {
            rows: vec![header.map(str::to_owned)],
        }
    }

    /// Adds a row; its text may come from anyone.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows
            .push(cells.map(|cell| printable(&cell).into_owned()));
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| row[column].width());
            cells.max().unwrap_or_default()
        })
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line += cell;
                line += &" ".repeat(width - cell.width() + GAP);
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_display_width() {
        let mut table = Table::new(["NAME", "PORT"]);
        table.row(["名前".into(), "443".into()]);
        table.row(["longer".into(), "1".into()]);
        table.row(["a\nb".into(), String::new()]);
        assert_eq!(
            table.to_string(),
            "NAME    PORT\n名前    443\nlonger  1\na\\nb\n"
        );
    }
}

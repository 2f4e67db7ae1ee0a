//! Lists of any length as a table on a terminal.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::output::{Stdout, printable};

/// So many rows are arranged together, so that memory stays flat.
const BLOCK_ROWS: usize = 200;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    /// Figures stand to the right.
    figures: bool,
    /// It may be long: it is broken into several lines where the terminal is too narrow.
    wraps: bool,
}

impl Column {
    /// Text that is short.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, figures: false, wraps: false }
    }

    /// Numbers and times.
    pub(crate) const fn figures(name: &'static str) -> Self {
        Self { name, figures: true, wraps: false }
    }

    /// Text that may be long.
    pub(crate) const fn long(name: &'static str) -> Self {
        Self { name, figures: false, wraps: true }
    }
}

/// A table as wide as the terminal at most, written in blocks. Its cells can't act on the terminal.
#[derive(Debug)]
pub(crate) struct Listing {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// Of short columns, as wide as they have been.
    widths: Vec<u16>,
    started: bool,
    /// The terminal's, unless given.
    width: Option<u16>,
}

impl Listing {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let widths = vec![0; columns.len()];
        Self { columns, rows: Vec::new(), widths, started: false, width: None }
    }

    /// Adds a row, and writes what is there when it makes a block.
    pub(crate) fn row(&mut self, cells: Vec<String>, stdout: &mut Stdout) -> anyhow::Result<()> {
        self.rows.push(cells.iter().map(|cell| printable(cell).into_owned()).collect());
        if self.rows.len() < BLOCK_ROWS { Ok(()) } else { self.write(stdout) }
    }

    /// Writes what is left.
    pub(crate) fn write(&mut self, stdout: &mut Stdout) -> anyhow::Result<()> {
        stdout.text(&self.take())
    }

    fn take(&mut self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if let Some(width) = self.width {
            table.set_width(width);
        }
        fit_terminal(&mut table);
        if !std::mem::replace(&mut self.started, true) {
            table.set_header(self.columns.iter().map(|column| column.name));
        }
        table.add_rows(self.rows.drain(..));
        let contents = table.column_max_content_widths();
        for ((column, drawn), (width, content)) in
            self.columns.iter().zip(table.column_iter_mut()).zip(self.widths.iter_mut().zip(contents))
        {
            drawn.set_padding((0, 2));
            if column.figures {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
            if !column.wraps {
                // The constraint counts the padding.
                *width = (*width).max(content.saturating_add(2));
                drawn.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
            }
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

/// Wraps cells where lines would be wider than the terminal. Some terminals do not know their width and say 0: what runs
/// in a container often has such a one.
pub(crate) fn fit_terminal(table: &mut Table) {
    if table.width() != Some(0) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(listing: &mut Listing, rows: &[[&str; 3]]) -> String {
        listing.rows = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        listing.take()
    }

    fn listing(width: Option<u16>) -> Listing {
        let columns = vec![Column::figures("#"), Column::text("kind"), Column::long("reason")];
        Listing { width, ..Listing::new(columns) }
    }

    #[test]
    fn a_narrow_terminal_breaks_what_is_long_and_nothing_else() {
        let reason = "the queue answered a write with 422 Unprocessable Entity: wrong shape";
        let table = drawn(&mut listing(Some(40)), &[["1234", "refused", reason], ["7", "invalid", "short"]]);
        assert!(table.lines().all(|line| line.chars().count() <= 40), "{table}");
        assert!(table.contains("1234  refused") && table.contains("   7  invalid  short"), "{table}");
        let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("Unprocessable") && words.contains("shape"), "{table}");
    }

    #[test]
    fn an_unknown_width_breaks_nothing() {
        let table = drawn(&mut listing(None), &[["1", "refused", &"x".repeat(500)]]);
        assert_eq!(table.lines().count(), 2, "{table}");
    }

    #[test]
    fn blocks_are_one_table() {
        let mut listing = listing(Some(60));
        let first = drawn(&mut listing, &[["1234567", "invalid", "one"]]);
        let second = drawn(&mut listing, &[["1", "a", "two"]]);
        assert_eq!((first.lines().count(), second.lines().count()), (2, 1), "{first}{second}");
        assert_eq!(first.lines().last().unwrap().find("one"), second.find("two"), "\n{first}{second}");
    }
}

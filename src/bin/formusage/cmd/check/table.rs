//! Violations as a table that is written in blocks, so that memory stays flat.

use comfy_table::{CellAlignment, ColumnConstraint, Width};
use form_usage_events::threshold::ThresholdViolation;
use form_usage_events::units::{figure, rfc3339};

use crate::output::printable;

/// A block is written when it has so many rows.
const BLOCK_ROWS: usize = 500;

const HEADER: [&str; 9] = ["time", "instance", "user", "threshold", "resource", "current", "limit", "over by", "state"];

/// The columns of figures, which stand to the right.
const FIGURES: std::ops::Range<usize> = 5..8;

/// Collects rows into blocks. The blocks form one table: the header stands once, and a later block's columns are at
/// least as wide as those of the blocks before it.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<[String; 9]>,
    widths: [u16; 9],
    started: bool,
    /// Whether there is a column of states.
    states: bool,
}

impl Table {
    /// A table, with a column of states or without.
    pub(super) fn new(states: bool) -> Self {
        Self { states, ..Self::default() }
    }

    /// Has a column of states from the next block on.
    pub(super) fn show_states(&mut self) {
        self.started &= self.states;
        self.states = true;
    }

    const fn columns(&self) -> usize {
        if self.states { 9 } else { 8 }
    }

    /// Adds a row; returns a block when it is full.
    pub(super) fn push(&mut self, violation: &ThresholdViolation, state: &str) -> Option<String> {
        self.push_row(row(violation, state))
    }

    /// The same for what is over no more: it is over by nothing.
    pub(super) fn push_resolved(&mut self, violation: &ThresholdViolation, state: &str) -> Option<String> {
        let [time, instance, user, threshold, resource, current, limit, _, state] = row(violation, state);
        self.push_row([time, instance, user, threshold, resource, current, limit, String::new(), state])
    }

    /// The same for an instance of which nothing is heard: there is no figure.
    pub(super) fn push_silent(&mut self, violation: &ThresholdViolation, state: &str) -> Option<String> {
        let [time, instance, user, threshold, resource, _, limit, _, state] = row(violation, state);
        self.push_row([time, instance, user, threshold, resource, String::new(), limit, String::new(), state])
    }

    fn push_row(&mut self, row: [String; 9]) -> Option<String> {
        self.rows.push(row);
        (self.rows.len() >= BLOCK_ROWS).then(|| self.take())
    }

    /// The rows so far as text, none twice; empty where there are none.
    pub(super) fn take(&mut self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        if !self.started {
            table.set_header(HEADER.into_iter().take(self.columns()));
        }
        let columns = self.columns();
        table.add_rows(self.rows.drain(..).map(|row| row.into_iter().take(columns)));
        for (index, column) in table.column_iter_mut().enumerate() {
            let least = self.widths.get(index).copied().unwrap_or(0);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            column.set_padding((0, 2));
            if FIGURES.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.started = true;
        for (width, column) in self.widths.iter_mut().zip(table.column_max_content_widths()) {
            // The constraint counts the padding.
            *width = (*width).max(column.saturating_add(2));
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }
}

fn row(violation: &ThresholdViolation, state: &str) -> [String; 9] {
    let ThresholdViolation { config, current_value, threshold_value, percentage, .. } = violation;
    let unit = config.threshold_type.unit();
    let over = if *percentage == f64::MAX { "∞".to_owned() } else { format!("{} %", number(*percentage)) };
    // Rounding must not make the two look the same.
    let rounded = number(*current_value);
    let current = if rounded == number(*threshold_value) { figure(*current_value).to_string() } else { rounded };
    [
        time(violation.timestamp),
        printable(&violation.instance_id).into_owned(),
        printable(&violation.user_id).into_owned(),
        printable(&config.id).into_owned(),
        config.resource_type.to_string(),
        format!("{current} {unit}"),
        config.threshold_type.to_string(),
        over,
        state.to_owned(),
    ]
}

/// `seconds` since 1970 as a date and a time in UTC.
pub(super) fn time(seconds: i64) -> String {
    rfc3339(seconds).unwrap_or_else(|| seconds.to_string())
}

/// `value` for people: four decimals at most, a power of ten where that would say nothing.
pub(super) fn number(value: f64) -> String {
    if value != 0.0 && !(0.001..1e15).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(id: &str) -> ThresholdViolation {
        serde_json::from_value(serde_json::json!({
            "config": {"id": id, "resource_type": "Memory", "threshold_type": {"Absolute": {"value": 4.0, "unit": "GB"}},
                       "action": "Log", "user_id": "*"},
            "current_value": 4.5, "threshold_value": 4.0, "percentage": 12.5,
            "timestamp": 1_626_350_430, "instance_id": "web-1", "user_id": "alice"
        }))
        .unwrap()
    }

    #[test]
    fn blocks_are_one_table() {
        let mut table = Table::default();
        assert_eq!(table.take(), "");
        assert_eq!(table.push(&violation("a-threshold-with-a-long-name"), ""), None);
        let first = table.take();
        table.push(&violation("short"), "");
        let second = table.take();
        assert_eq!(first.lines().count(), 2, "{first}");
        assert_eq!(second.lines().count(), 1, "{second}");
        let place = |text: &str| text.lines().last().unwrap().find("Memory");
        assert_eq!(place(&first), place(&second), "\n{first}{second}");
        assert!(first.contains("2021-07-15T12:00:30Z") && first.contains("4.5 GB") && first.contains("12.5 %"));
    }

    #[test]
    fn a_row_of_a_silence_has_no_figure() {
        let mut table = Table::new(true);
        table.push_silent(&violation("a"), "no data for 1h");
        let text = table.take();
        assert!(text.contains("no data for 1h") && !text.contains("4.5") && !text.contains("12.5"), "{text}");
    }

    #[test]
    fn figures_for_people() {
        for (value, text) in
            [(0.0, "0"), (80.0, "80"), (18.75, "18.75"), (5000.0 / 3600.0, "1.3889"), (2e-7, "2.000e-7")]
        {
            assert_eq!(number(value), text);
        }
        assert!(number(1e300).len() < 10);
    }

    #[test]
    fn times_beyond_the_calendar_are_numbers() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(-1), "-1");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}

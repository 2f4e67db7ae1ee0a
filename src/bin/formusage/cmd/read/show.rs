//! How events are shown.

use comfy_table::{CellAlignment, Table, presets};
use form_usage_events::events::EncodedEvent;
use form_usage_events::transport::Message;
use form_usage_events::units::rfc3339;

use crate::cli::ReadFormat;
use crate::listing::fit_terminal;
use crate::output::{Notation, Stdout, printable, stdout_is_terminal};

/// A table is drawn once so many rows are there, so that a long source is seen as it comes and memory stays flat.
const ROWS: usize = 200;

const COLUMNS: [&str; 10] =
    ["#", "instance", "user", "period (UTC)", "CPU s", "CPU %", "memory GB", "storage GB", "out/in MB", "GPU s"];

/// Writes events in one of the formats.
pub(super) struct Shower {
    format: ReadFormat,
    stdout: Stdout,
    table: Option<Table>,
    shown: u64,
    /// Rows are drawn as they come.
    follow: bool,
}

impl Shower {
    pub(super) fn new(format: Option<ReadFormat>, follow: bool) -> anyhow::Result<Self> {
        let default = if stdout_is_terminal() { ReadFormat::Table } else { ReadFormat::Ndjson };
        let format = format.unwrap_or(default);
        let mut stdout = Stdout::new(if format == ReadFormat::Table { Notation::Words } else { Notation::Json });
        if format == ReadFormat::Json {
            stdout.text("[")?;
        }
        Ok(Self { format, stdout, table: None, shown: 0, follow })
    }

    pub(super) fn show(&mut self, message: &Message, event: Option<&EncodedEvent>) -> anyhow::Result<()> {
        match self.format {
            ReadFormat::Ndjson => self.stdout.line(&message.body)?,
            ReadFormat::Json => {
                let text = String::from_utf8_lossy(&message.body);
                // What is no event may be no JSON either; as a string it can stand in an array.
                let value = if event.is_some() { text.into_owned() } else { serde_json::to_string(&text)? };
                self.stdout.text(if self.shown == 0 { "\n" } else { ",\n" })?;
                self.stdout.text(&value)?;
            }
            ReadFormat::Table => {
                let table = self.table.get_or_insert_with(new_table);
                table.add_row(row(message, event));
                if table.row_count() >= ROWS {
                    self.draw()?;
                }
            }
        }
        self.shown += 1;
        Ok(())
    }

    /// Hands what there is to the reader.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if self.follow {
            self.draw()?;
        }
        self.stdout.flush()
    }

    pub(super) fn end(mut self) -> anyhow::Result<()> {
        self.draw()?;
        if self.format == ReadFormat::Json {
            self.stdout.text("\n]\n")?;
        }
        self.stdout.flush()
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        match self.table.take() {
            Some(table) => self.stdout.line(table.to_string().as_bytes()),
            None => Ok(()),
        }
    }
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    fit_terminal(&mut table);
    table.set_header(COLUMNS);
    for column in table.column_iter_mut().enumerate().filter(|(n, _)| *n == 0 || *n > 3).map(|(_, column)| column) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(message: &Message, event: Option<&EncodedEvent>) -> Vec<String> {
    let number = message.position.to_string();
    let Some(event) = event.map(EncodedEvent::event) else {
        let start: String = String::from_utf8_lossy(&message.body).chars().take(40).collect();
        return vec![number, printable(&start).into_owned()];
    };
    let metrics = &event.metrics;
    vec![
        number,
        printable(&event.instance_id).into_owned(),
        printable(&event.user_id).into_owned(),
        span(event.period.start, event.period.end),
        metrics.cpu_seconds.to_string(),
        format!("{:.1}", metrics.cpu_percent_avg),
        format!("{:.2}", metrics.memory_gb),
        format!("{:.2}", metrics.storage_gb),
        format!("{:.2}/{:.2}", metrics.network_egress_mb, metrics.network_ingress_mb),
        metrics.gpu_seconds.to_string(),
    ]
}

/// A period for people: its start, and how long it lasted.
fn span(start: i64, end: i64) -> String {
    let at = rfc3339(start).unwrap_or_else(|| start.to_string());
    format!("{} +{}s", at.trim_end_matches('Z').replace('T', " "), end.saturating_sub(start))
}

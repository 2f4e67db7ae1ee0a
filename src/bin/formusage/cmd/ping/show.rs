//! The steps as a table, as JSON, as NDJSON.

use std::net::SocketAddr;

use comfy_table::{CellAlignment, Table, presets};
use form_usage_events::ping::{AddressReport, PingReport, Status, StepReport};
use serde::Serialize;

use crate::cli::PingFormat;
use crate::output::{Notation, Stdout, printable, stdout_is_terminal};

pub(super) fn show(report: &PingReport, format: Option<PingFormat>) -> anyhow::Result<()> {
    let default = if stdout_is_terminal() { PingFormat::Table } else { PingFormat::Ndjson };
    let format = format.unwrap_or(default);
    let mut stdout = Stdout::new(if format == PingFormat::Table { Notation::Words } else { Notation::Json });
    match format {
        PingFormat::Json => stdout.line(serde_json::to_string_pretty(report)?.as_bytes())?,
        PingFormat::Ndjson => {
            for address in &report.addresses {
                for step in &address.steps {
                    let line =
                        Line { destination: &report.destination, host: &address.host, address: address.address, step };
                    stdout.line(&serde_json::to_vec(&line)?)?;
                }
            }
        }
        PingFormat::Table => {
            stdout.line(report.destination.as_bytes())?;
            for address in &report.addresses {
                stdout.text(&table(address, report.rounds))?;
            }
        }
    }
    stdout.flush()
}

/// A step, with where it was taken.
#[derive(Serialize)]
struct Line<'a> {
    destination: &'a str,
    host: &'a str,
    address: Option<SocketAddr>,
    #[serde(flatten)]
    step: &'a StepReport,
}

fn table(address: &AddressReport, rounds: u32) -> String {
    let place = match address.address {
        Some(found) if found.ip().to_string() == address.host.trim_matches(['[', ']']) => found.to_string(),
        Some(found) => format!("{found} ({})", address.host),
        None => address.host.clone(),
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for step in &address.steps {
        let timing = match step.timing {
            None => String::new(),
            Some(timing) if rounds == 1 => format!("{} ms", figure(timing.median_ms)),
            Some(timing) => {
                let [min, median, p99] = [timing.min_ms, timing.median_ms, timing.p99_ms].map(figure);
                format!("{min}/{median}/{p99} ms")
            }
        };
        let mark = match step.status {
            Status::Ok => "ok",
            Status::Skipped => "-",
            Status::Warning => "WARNING",
            Status::Failed => "FAILED",
        };
        let times =
            if step.failed > 0 && rounds > 1 { format!("{mark} {}/{}", step.failed, step.tried) } else { mark.into() };
        table.add_row([step.step.name(), &times, &timing, &*printable(&step.detail)]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("\n{place}");
    if rounds > 1 {
        text.push_str(&format!(" ({rounds} rounds; min/median/p99)"));
    }
    text.push('\n');
    text.extend(table.lines().map(|line| line.trim_end().to_owned() + "\n"));
    for step in &address.steps {
        if let Some(problem) = &step.problem {
            let word = if step.status == Status::Failed { "failed" } else { "warning" };
            text.push_str(&format!(
                "\n {} {word}\n   found:    {}\n   expected: {}\n   do:       {}\n",
                step.step,
                printable(&problem.found),
                printable(&problem.expected),
                printable(&problem.fix)
            ));
        }
    }
    text
}

fn figure(milliseconds: f64) -> String {
    if milliseconds < 100.0 { format!("{milliseconds:.2}") } else { format!("{milliseconds:.0}") }
}

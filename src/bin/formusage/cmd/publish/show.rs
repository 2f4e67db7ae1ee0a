//! What people see of a run: its progress on a terminal, and its end.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use form_usage_events::metrics::Observation;
use form_usage_events::publish::{Progress, Report};
use form_usage_events::spool::SpoolFile;
use form_usage_events::transport::Destination;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::ReportFormat;
use crate::output::{self, Notation, Stdout};
use serde::Serialize;
use serde_json::{Value, json};

/// A line that is kept up to date on a terminal; nothing elsewhere.
pub(super) fn progress(destination: &Destination) -> Box<dyn Progress> {
    if !output::stderr_is_terminal() || *destination == Destination::Stdio {
        return Box::new(());
    }
    let bar = ProgressBar::new_spinner().with_message(format!("waiting for events for {}", destination.shown()));
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg}  {elapsed}") {
        bar.set_style(style);
    }
    Box::new(OnTerminal { bar })
}

struct OnTerminal {
    bar: ProgressBar,
}

impl Progress for OnTerminal {
    fn update(&mut self, report: &Report) {
        let settled = report.delivered + report.dead + report.refused + report.undelivered;
        let waiting = report.read.saturating_sub(settled);
        let delivered = report.delivered + report.resumed.delivered;
        let mut message = format!("{delivered} delivered, {waiting} waiting");
        if report.dead + report.refused > 0 {
            message.push_str(&format!(", {} refused", report.dead + report.refused));
        }
        if let Some(reason) = &report.reason {
            message.push_str(&format!("; {}", output::printable(reason)));
        }
        self.bar.set_message(message);
        self.bar.tick();
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The report as machines read it: the books, and beside them the figures that `--metrics-listen` serves.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    report: &'a Report,
    figures: Value,
}

impl<'a> Json<'a> {
    fn of(report: &'a Report, now: &Observation) -> Self {
        let latency = json!({
            "count": now.latency.count(),
            "mean_seconds": now.latency.mean().map(|mean| mean.as_secs_f64()),
            "p50_seconds": now.latency.quantile(0.5),
            "p99_seconds": now.latency.quantile(0.99),
        });
        let breaker = now.breaker.map(|breaker| {
            json!({"state": breaker.state.to_string(), "opened": breaker.opened, "transitions": breaker.transitions})
        });
        let spool = now.spool.map(|spool| {
            json!({
                "used_bytes": spool.used_bytes,
                "limit_bytes": spool.limit_bytes,
                "waiting_events": spool.waiting,
                "waiting_bytes": spool.waiting_bytes,
                "oldest_waiting_age_seconds": spool.oldest_age.map(|age| age.as_secs()),
                "retained_events": spool.retained,
                "retained_bytes": spool.retained_bytes,
                "dead_letters": spool.dead_letters,
            })
        });
        let figures = json!({
            "taken": now.taken, "deferred": now.deferred,
            "attempt_duration": latency, "breaker": breaker, "spool": spool,
        });
        Self { report, figures }
    }
}

/// Says how the run ended: JSON for machines; for people a table on a terminal, and in any case what went wrong.
pub(super) fn report(
    report: &Report,
    now: &Observation,
    format: ReportFormat,
    dry_run: bool,
    stdout_is_taken: bool,
    dead_letter: Option<&Path>,
) -> anyhow::Result<()> {
    match format {
        ReportFormat::Json if stdout_is_taken => output::say(&serde_json::to_string(&Json::of(report, now))?),
        ReportFormat::Json => {
            let mut stdout = Stdout::new(Notation::Json);
            stdout.line(&serde_json::to_vec(&Json::of(report, now))?)?;
            stdout.flush()?;
        }
        ReportFormat::Text if output::stderr_is_terminal() => output::say(&table(report, dry_run)),
        ReportFormat::Text => {}
    }
    for error in &report.errors {
        output::complain(error);
    }
    match &report.spool {
        Some(spool) => spooled(report, spool),
        None => kept(report, dead_letter),
    }
    if let (Some(reason), true) = (&report.reason, report.errors.is_empty()) {
        output::say(&format!("  {reason}"));
    }
    Ok(())
}

/// What a run without a spool could not deliver.
fn kept(report: &Report, dead_letter: Option<&Path>) {
    let kept = report.undelivered + report.dead + report.refused;
    if kept > 0 {
        let place = dead_letter.map_or_else(|| "shown above".to_owned(), |path| format!("kept in {}", path.display()));
        output::complain(&format!("{} of {} not delivered: {}; {place}", kept, report.read, parts(report)));
    }
}

/// What is left in the spool, and how to go on.
fn spooled(report: &Report, path: &Path) {
    let spool = path.display();
    let waiting = report.waiting();
    if waiting > 0 {
        let (events, wait) = if waiting == 1 { ("event", "waits") } else { ("events", "wait") };
        let earlier = match report.resumed.waiting {
            0 => String::new(),
            earlier => format!(", {earlier} of them from before"),
        };
        output::complain(&format!(
            "{waiting} {events} {wait} in the spool {spool}{earlier}; the next publish to {} delivers them",
            report.destination
        ));
    }
    let dead = report.dead + report.resumed.dead + report.refused + report.further_pieces;
    if dead > 0 {
        let letters = output::counted(dead, "dead letter", "dead letters");
        let letters = if report.further_pieces > 0 {
            format!("{letters} (a line longer than --max-line-bytes is one for each of its pieces)")
        } else {
            letters
        };
        let command = output::spool_command("dlq list", path);
        // Lines that are no events have a share of the spool, and the oldest give way.
        let kept = SpoolFile::open(path).ok().flatten().and_then(|spool| spool.status().ok()).map(|it| it.dead_letters);
        output::complain(&match kept.filter(|kept| *kept < dead) {
            Some(kept) => {
                format!("{letters}, of which the spool {spool} keeps the newest {kept}; see these with: {command}")
            }
            None => format!("{letters} in the spool {spool}; see them with: {command}"),
        });
    }
}

fn parts(report: &Report) -> String {
    let parts = [
        (report.undelivered, "still to be delivered"),
        (report.dead, "refused by the destination"),
        (report.refused, "not valid"),
    ];
    let named: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    named.join(", ")
}

fn table(report: &Report, dry_run: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let title = if dry_run { "would go to" } else { "published to" };
    table.set_header([title, report.destination.as_str()]);
    let rows = [
        ("read", report.read, true),
        ("delivered", report.delivered, true),
        ("  of these, known there already", report.duplicates, report.duplicates > 0),
        ("delivered from before", report.resumed.delivered, report.resumed.delivered > 0),
        ("  of these, known there already", report.resumed.duplicates, report.resumed.duplicates > 0),
        ("still to be delivered", report.waiting(), report.waiting() > 0),
        ("refused by the destination", report.dead + report.resumed.dead, report.dead + report.resumed.dead > 0),
        ("not valid", report.refused, report.refused > 0),
        ("threshold violations", report.violations, report.violations > 0),
        ("attempts made again", report.retries, report.retries > 0),
        ("replies that never came", report.unknown, report.unknown > 0),
        ("circuit breaker opened", report.breaker_opened, report.breaker_opened > 0),
    ];
    for (name, count, _) in rows.into_iter().filter(|(.., shown)| *shown) {
        table.add_row([name.to_owned(), count.to_string()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

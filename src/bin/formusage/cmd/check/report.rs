//! The report of `check`: violations or explanations, as they come, in each format.

use std::io::{self, Write as _};

use form_usage_events::events::UsageEvent;
use form_usage_events::threshold::{Explanation, Reason, ThresholdSet, ThresholdViolation};
use serde::Serialize;

use super::formats::Format;
use super::table::{Table, number, time};
use crate::cli::CheckFormat;
use crate::exit::Exit;
use crate::output::{Stdout, printable, say, stderr_is_terminal, stdout_is_terminal};

/// So many thresholds that did not fire are listed for an event, of those that apply and of those that do not.
const LISTED: usize = 20;

/// What was seen.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Totals {
    /// Valid events.
    pub(super) events: u64,
    /// Events that exceed at least one threshold.
    pub(super) events_over: u64,
    pub(super) violations: u64,
    pub(super) invalid_lines: u64,
    /// Inputs that could not be read, or not to their end.
    pub(super) unreadable: u64,
}

impl Totals {
    pub(super) const fn exit(&self) -> Exit {
        if self.invalid_lines + self.unreadable > 0 {
            Exit::Error
        } else if self.violations > 0 {
            Exit::Objection
        } else {
            Exit::Success
        }
    }

    pub(super) fn words(&self) -> String {
        let events = count(self.events, "event");
        let mut words = match self.violations {
            0 => format!("no threshold is exceeded in {events}"),
            violations => format!("{} in {} of {events}", count(violations, "violation"), self.events_over),
        };
        if self.invalid_lines > 0 {
            words += &format!("; {} not evaluated", count(self.invalid_lines, "invalid line"));
        }
        if self.unreadable > 0 {
            words += &format!("; {} not read to the end", count(self.unreadable, "input"));
        }
        words
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Where the report goes.
enum Out {
    Stdout(Stdout),
    /// Beside events that are passed on. Passing them on matters more than a closed standard error.
    Stderr(io::BufWriter<io::Stderr>),
}

impl Out {
    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.text(text),
            Self::Stderr(stderr) => {
                let _ = stderr.write_all(text.as_bytes());
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Stderr(stderr) => {
                let _ = stderr.flush();
                Ok(())
            }
        }
    }
}

/// Writes the report as the events come, in flat memory.
pub(super) struct Report {
    format: CheckFormat,
    /// One of those for tools.
    tool: Option<Format>,
    explain: bool,
    out: Out,
    table: Table,
    to_terminal: bool,
    records: u64,
}

/// What one threshold made of one event, for machines.
#[derive(Serialize)]
struct Explained<'a> {
    file: &'a str,
    line: u64,
    instance_id: &'a str,
    user_id: &'a str,
    timestamp: i64,
    threshold: &'a str,
    outcome: &'static str,
    metric: &'static str,
    /// In `unit`; null where the threshold is for somebody else.
    current_value: Option<f64>,
    threshold_value: f64,
    unit: &'a str,
    /// How far over; null where it is not.
    percentage: Option<f64>,
    reason: String,
}

impl Report {
    pub(super) fn new(
        format: Option<CheckFormat>,
        explain: bool,
        tee: bool,
        thresholds: &ThresholdSet,
    ) -> anyhow::Result<Self> {
        let to_terminal = if tee { stderr_is_terminal() } else { stdout_is_terminal() };
        let default = if to_terminal { CheckFormat::Table } else { CheckFormat::Ndjson };
        let format = format.unwrap_or(default);
        let mut out = if tee { Out::Stderr(io::BufWriter::new(io::stderr())) } else { Out::Stdout(Stdout::new()) };
        if format == CheckFormat::Json {
            out.text(if explain { "{\"explanations\":[" } else { "{\"violations\":[" })?;
        }
        let tool = match Format::begin(format, thresholds) {
            Some(_) if explain => anyhow::bail!("--explain is written as table, json or ndjson"),
            Some((tool, begin)) => {
                out.text(&begin)?;
                Some(tool)
            }
            None => None,
        };
        Ok(Self { format, tool, explain, out, table: Table::default(), to_terminal, records: 0 })
    }

    /// Reports on one event; says how many thresholds it exceeds.
    pub(super) fn event(
        &mut self,
        thresholds: &ThresholdSet,
        file: &str,
        line: u64,
        event: &UsageEvent,
    ) -> anyhow::Result<usize> {
        if !self.explain {
            let violations = thresholds.violations(event);
            violations.iter().try_for_each(|violation| self.violation(file, line, violation))?;
            return Ok(violations.len());
        }
        if self.format == CheckFormat::Table {
            return self.explanation(thresholds, file, line, event);
        }
        let mut exceeded = 0;
        for why in thresholds.explain(event) {
            exceeded += usize::from(matches!(why.reason, Reason::Exceeded { .. }));
            self.record(&Explained::new(&why, file, line))?;
        }
        Ok(exceeded)
    }

    /// Reports a line that is no valid event, where the format has room for it.
    pub(super) fn invalid(&mut self, file: &str, line: u64, faults: &[String]) -> anyhow::Result<()> {
        let Some(tool) = &mut self.tool else {
            return Ok(());
        };
        faults.iter().try_for_each(|fault| self.out.text(&tool.invalid(file, line, fault)))
    }

    /// The exit code, where the format has its own.
    pub(super) fn exit(&self, totals: &Totals) -> Exit {
        self.tool.as_ref().and_then(|tool| tool.exit(totals)).unwrap_or(totals.exit())
    }

    fn violation(&mut self, file: &str, line: u64, violation: &ThresholdViolation) -> anyhow::Result<()> {
        if let Some(tool) = &mut self.tool {
            self.records += 1;
            return self.out.text(&tool.violation(file, line, violation));
        }
        if self.format != CheckFormat::Table {
            return self.record(violation);
        }
        self.records += 1;
        match self.table.push(violation) {
            Some(block) => self.out.text(&block),
            None => Ok(()),
        }
    }

    fn record(&mut self, record: &impl Serialize) -> anyhow::Result<()> {
        let first = self.records == 0;
        self.records += 1;
        let text = serde_json::to_string(record)?;
        match self.format {
            CheckFormat::Json => {
                self.out.text(if first { "\n" } else { ",\n" })?;
                self.out.text(&text)
            }
            _ => {
                self.out.text(&text)?;
                self.out.text("\n")
            }
        }
    }

    /// The thresholds that fired, then some of those that did not, for people.
    fn explanation(
        &mut self,
        thresholds: &ThresholdSet,
        file: &str,
        line: u64,
        event: &UsageEvent,
    ) -> anyhow::Result<usize> {
        let (mut exceeded, mut within, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut more_within, mut more_others) = (0u64, 0u64);
        for why in thresholds.explain(event) {
            match why.reason {
                Reason::Exceeded { .. } => exceeded.push(why),
                Reason::Within { .. } if within.len() < LISTED => within.push(why),
                Reason::Within { .. } => more_within += 1,
                Reason::OtherUser | Reason::OtherInstance | Reason::Disabled if others.len() < LISTED => {
                    others.push(why)
                }
                Reason::OtherUser | Reason::OtherInstance | Reason::Disabled => more_others += 1,
            }
        }
        let UsageEvent { instance_id, user_id, timestamp, .. } = event;
        self.out.text(&format!("{file}:{line}: instance {instance_id}, user {user_id}, {}\n", time(*timestamp)))?;
        let width = exceeded.iter().chain(&within).chain(&others).map(|why| why.config.id.chars().count()).max();
        let width = width.unwrap_or(0).min(40);
        for why in exceeded.iter().chain(&within).chain(&others) {
            let (verdict, over) = match why.reason {
                Reason::Exceeded { percentage: f64::MAX, .. } => ("EXCEEDED", String::new()),
                Reason::Exceeded { percentage, .. } => ("EXCEEDED", format!(", by {} %", number(percentage))),
                Reason::Within { .. } => ("within", String::new()),
                Reason::OtherUser | Reason::OtherInstance => ("not for it", String::new()),
                Reason::Disabled => ("disabled", String::new()),
            };
            let (id, reason) = (printable(&why.config.id), why.to_string());
            self.out.text(&format!("  {verdict:<10}  {id:<width$}  {}{over}\n", printable(&reason)))?;
        }
        if more_within > 0 {
            self.out.text(&format!("  … and {more_within} more that apply and are not exceeded\n"))?;
        }
        if more_others > 0 {
            self.out.text(&format!(
                "  … and {more_others} more that apply to other users or instances, or are not enabled\n"
            ))?;
        }
        self.out.text("\n")?;
        Ok(exceeded.len())
    }

    /// Hands on what was reported so far. A table that no terminal shows waits until it is full or the end, so that
    /// its look does not depend on when the input paused.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        if self.to_terminal {
            let rows = self.table.take();
            self.out.text(&rows)?;
        }
        self.out.flush()
    }

    /// Ends the report.
    pub(super) fn finish(&mut self, totals: &Totals, files: &[(String, Option<String>)]) -> anyhow::Result<()> {
        if let Some(tool) = &mut self.tool {
            let end = tool.end(totals, files)?;
            self.out.text(&end)?;
        }
        match self.format {
            CheckFormat::Table => {
                let rows = self.table.take();
                self.out.text(&rows)?;
            }
            CheckFormat::Json => {
                let line_end = if self.records == 0 { "" } else { "\n" };
                self.out.text(&format!("{line_end}],\"totals\":{}}}\n", serde_json::to_string(totals)?))?;
            }
            _ => {}
        }
        self.out.flush()?;
        // One line is all that a monitoring system takes, and it has the words.
        if self.format != CheckFormat::Nagios && (self.format == CheckFormat::Table || stderr_is_terminal()) {
            say(&totals.words());
        }
        Ok(())
    }
}

impl<'a> Explained<'a> {
    fn new(why: &Explanation<'a>, file: &'a str, line: u64) -> Self {
        let (current_value, percentage) = match why.reason {
            Reason::Exceeded { current, percentage } => (Some(current), Some(percentage)),
            Reason::Within { current } => (Some(current), None),
            Reason::OtherUser | Reason::OtherInstance | Reason::Disabled => (None, None),
        };
        Self {
            file,
            line,
            instance_id: &why.event.instance_id,
            user_id: &why.event.user_id,
            timestamp: why.event.timestamp,
            threshold: &why.config.id,
            outcome: why.reason.name(),
            metric: why.metric,
            current_value,
            threshold_value: why.config.threshold_type.value(),
            unit: why.config.threshold_type.unit(),
            percentage,
            reason: why.to_string(),
        }
    }
}

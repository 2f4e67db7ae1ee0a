//! The report of `check`: violations or explanations, as they come, in each format.

use std::io::{self, Write as _};
use std::sync::Arc;

use form_usage_events::events::UsageEvent;
use form_usage_events::plain_text;
use form_usage_events::threshold::{
    AlertKind, AlertReason, AlertSeverity, AlertState, AlertStatus, Explanation, MeasuredEvent, Reason, ThresholdAlert,
    ThresholdConfig, ThresholdSet, ThresholdViolation,
};
use form_usage_events::units::TimeSpan;
use serde::Serialize;

use super::formats::{Format, notation_of};
use super::nagios::Peaks;
use super::not_evaluated::NotEvaluated;
use super::states::{AlertTotals, Firing, NAMED, States, in_words_at_most};
use super::table::{Table, number, time};
use crate::cli::CheckFormat;
use crate::exit::Exit;
use crate::output::{Stdout, printable, say, stderr_is_terminal, stdout_is_terminal};
use crate::terminal::TerminalSafe;

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
    /// Alerts that could not be handed to their channels.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) untold: u64,
    /// Alerts that are lost, since too many waited for their channel.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) dropped_alerts: u64,
    /// Events over a limit that came behind newer ones of their instance, where a threshold might have fired with them.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) out_of_order: u64,
    /// Events that lack a metric which a threshold for them is on, so that it is not known whether they exceed it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) not_metered: u64,
    /// Where thresholds have states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alerts: Option<AlertTotals>,
}

impl Totals {
    pub(super) fn exit(&self) -> Exit {
        if self.invalid_lines + self.unreadable + self.untold > 0 {
            Exit::Error
        } else if self.has_objections() {
            Exit::Objection
        } else if self.out_of_order > 0 {
            // Nobody knows.
            Exit::Error
        } else {
            Exit::Success
        }
    }

    /// Whether a threshold is exceeded or fires, or an alert is lost.
    pub(super) fn has_objections(&self) -> bool {
        self.violations + self.dropped_alerts > 0 || self.alerts.is_some_and(|it| it.fires())
    }

    /// Violations, and alerts that fired at any time of the run: none exactly where nothing is to be objected to.
    pub(super) fn objections(&self) -> u64 {
        let alerts =
            self.alerts.map_or(0, |it| (it.firing_before + it.fired + it.silent).max(it.now.firing + it.now.no_data));
        self.violations + alerts
    }

    pub(super) fn words(&self) -> String {
        let events = count(self.events, "event");
        let mut words = match self.violations {
            // Those with states count as alerts.
            0 if self.events_over > 0 => format!("thresholds are exceeded in {} of {events}", self.events_over),
            0 => format!("no threshold is exceeded in {events}"),
            violations => format!("{} in {} of {events}", count(violations, "violation"), self.events_over),
        };
        if let Some(alerts) = self.alerts {
            words += &format!("; {} fired, {} resolved", count(alerts.fired, "alert"), alerts.resolved);
            words += &format!(", {} firing now, {} pending", alerts.now.firing, alerts.now.pending);
            if alerts.now.no_data > 0 {
                words += &format!(", {} without data", alerts.now.no_data);
            }
            let unheard = alerts.now.late + alerts.now.repeated;
            if unheard > 0 {
                words += &format!("; {} late or again, which change no state", count(unheard, "event"));
            }
        }
        if self.invalid_lines > 0 {
            words += &format!("; {} not evaluated", count(self.invalid_lines, "invalid line"));
        }
        if self.unreadable > 0 {
            words += &format!("; {} not read to the end", count(self.unreadable, "input"));
        }
        if self.out_of_order > 0 {
            words += &format!("; {} out of order, so that more may have fired", count(self.out_of_order, "event"));
        }
        if self.not_metered > 0 {
            words += &format!(
                "; {} not evaluated in full: a metric with a threshold was not metered",
                count(self.not_metered, "event")
            );
        }
        if self.untold > 0 {
            words += &format!("; {} not told", count(self.untold, "alert"));
        }
        if self.dropped_alerts > 0 {
            words += &format!("; {} lost, since too many waited for the channel", count(self.dropped_alerts, "alert"));
        }
        words
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Where the report goes.
enum Out {
    Stdout(Stdout),
    /// Beside events that are passed on. Passing them on matters more than a closed standard error.
    Stderr(io::BufWriter<TerminalSafe<io::Stderr>>),
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
    /// In `unit`; null where the threshold is for somebody else, or the metric was not metered.
    current_value: Option<f64>,
    threshold_value: f64,
    unit: &'a str,
    /// How far over; null where it is not.
    percentage: Option<f64>,
    /// Where the threshold has states and all is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<AlertState>,
    /// Since when, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    reason: String,
}

/// A change of a state, for machines: a violation with more fields.
#[derive(Serialize)]
struct Changed<'a> {
    #[serde(flatten)]
    violation: &'a ThresholdViolation,
    state: AlertKind,
    severity: AlertSeverity,
    since: i64,
    at: i64,
    peak: f64,
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<AlertReason>,
    id: &'a str,
}

/// How many thresholds an event exceeds: all of them, and those without states.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) exceeded: usize,
    pub(super) plain: usize,
}

impl Report {
    pub(super) fn new(
        format: Option<CheckFormat>,
        explain: bool,
        tee: bool,
        thresholds: &Arc<ThresholdSet>,
    ) -> anyhow::Result<Self> {
        let to_terminal = if tee { stderr_is_terminal() } else { stdout_is_terminal() };
        let default = if to_terminal { CheckFormat::Table } else { CheckFormat::Ndjson };
        let format = format.unwrap_or(default);
        let notation = notation_of(format);
        let mut out = if tee {
            Out::Stderr(io::BufWriter::new(TerminalSafe::new(io::stderr(), notation)))
        } else {
            Out::Stdout(Stdout::new(notation))
        };
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
        let table = Table::new(thresholds.has_states());
        Ok(Self { format, tool, explain, out, table, to_terminal, records: 0 })
    }

    /// Shows states from now on: thresholds have them that had none.
    pub(super) fn show_states(&mut self) {
        self.table.show_states();
    }

    /// Reports changes of states; explanations say them themselves.
    pub(super) fn alerts(&mut self, file: &str, line: u64, alerts: &[ThresholdAlert]) -> anyhow::Result<()> {
        if self.explain {
            return Ok(());
        }
        for alert in alerts {
            if let Some(tool) = &mut self.tool {
                // Tools know faults, and no end of them.
                let text = match alert.kind {
                    AlertKind::Firing | AlertKind::Repeat => tool.violation(file, line, &alert.violation),
                    AlertKind::NoData => tool.silence(file, line, &alert.violation, alert.since),
                    _ => continue,
                };
                self.records += 1;
                self.out.text(&text)?;
                continue;
            }
            if self.format == CheckFormat::Table {
                self.records += 1;
                // States that were kept may be of thresholds that are no more.
                self.table.show_states();
                let words = in_words(alert);
                let block = match alert.kind {
                    AlertKind::Resolved => self.table.push_resolved(&alert.violation, &words),
                    AlertKind::NoData => self.table.push_silent(&alert.violation, &words),
                    _ => self.table.push(&alert.violation, &words),
                };
                block.map_or(Ok(()), |block| self.out.text(&block))?;
                continue;
            }
            self.record(&Changed {
                violation: &alert.violation,
                state: alert.kind,
                severity: alert.violation.config.severity(),
                since: alert.since,
                at: alert.at,
                peak: alert.peak,
                number: alert.number,
                reason: alert.reason,
                id: &alert.id,
            })?;
        }
        Ok(())
    }

    /// Reports on one event. Of thresholds with states the changes are reported by [`Report::alerts`].
    pub(super) fn event(
        &mut self,
        thresholds: &ThresholdSet,
        states: &States,
        file: &str,
        line: u64,
        event: MeasuredEvent<'_>,
    ) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        let mut count = |config: &ThresholdConfig| {
            seen.exceeded += 1;
            seen.plain += usize::from(!config.has_states());
        };
        if !self.explain {
            let violations = thresholds.violations(event);
            violations.iter().for_each(|violation| count(&violation.config));
            let mut plain = violations.iter().filter(|violation| !violation.config.has_states());
            plain.try_for_each(|violation| self.violation(file, line, violation))?;
            return Ok(seen);
        }
        let exceeded = thresholds.explain(event).filter(|why| matches!(why.reason, Reason::Exceeded { .. }));
        exceeded.for_each(|why| count(why.config));
        if self.format == CheckFormat::Table {
            self.explanation(thresholds, states, file, line, event)?;
            return Ok(seen);
        }
        for why in thresholds.explain(event) {
            self.record(&Explained::new(&why, states, file, line))?;
        }
        Ok(seen)
    }

    /// Reports a line that is no valid event, where the format has room for it.
    pub(super) fn invalid(&mut self, file: &str, line: u64, faults: &[String]) -> anyhow::Result<()> {
        let Some(tool) = &mut self.tool else {
            return Ok(());
        };
        faults.iter().try_for_each(|fault| self.out.text(&tool.invalid(file, line, fault)))
    }

    /// What takes in events that exceed nothing, where the report shows their values.
    pub(super) fn peaks(&self) -> Option<Arc<Peaks>> {
        self.tool.as_ref().and_then(Format::peaks)
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
        match self.table.push(violation, "") {
            Some(block) => self.out.text(&block),
            None => Ok(()),
        }
    }

    fn record(&mut self, record: &impl Serialize) -> anyhow::Result<()> {
        let first = self.records == 0;
        self.records += 1;
        let text = serde_json::to_string(record)?;
        let text = plain_text::printable_json(&text);
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
        states: &States,
        file: &str,
        line: u64,
        event: MeasuredEvent<'_>,
    ) -> anyhow::Result<()> {
        let (mut exceeded, mut within, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let (mut more_within, mut more_others) = (0u64, 0u64);
        for why in thresholds.explain(event) {
            match why.reason {
                Reason::Exceeded { .. } | Reason::NotMetered => exceeded.push(why),
                Reason::Within { .. } if within.len() < LISTED => within.push(why),
                Reason::Within { .. } => more_within += 1,
                Reason::OtherUser | Reason::OtherInstance | Reason::Disabled if others.len() < LISTED => {
                    others.push(why)
                }
                Reason::OtherUser | Reason::OtherInstance | Reason::Disabled => more_others += 1,
            }
        }
        let UsageEvent { instance_id, user_id, timestamp, .. } = event.event();
        let head = format!("{file}:{line}: instance {instance_id}, user {user_id}, {}", time(*timestamp));
        self.out.text(&format!("{}\n", printable(&head)))?;
        let width = exceeded.iter().chain(&within).chain(&others).map(|why| why.config.id.chars().count()).max();
        let width = width.unwrap_or(0).min(40);
        for why in exceeded.iter().chain(&within).chain(&others) {
            let (verdict, over) = match why.reason {
                Reason::Exceeded { percentage: f64::MAX, .. } => ("EXCEEDED", String::new()),
                Reason::Exceeded { percentage, .. } => ("EXCEEDED", format!(", by {} %", number(percentage))),
                Reason::Within { .. } => ("within", String::new()),
                Reason::NotMetered => ("unknown", String::new()),
                Reason::OtherUser | Reason::OtherInstance => ("not for it", String::new()),
                Reason::Disabled => ("disabled", String::new()),
            };
            let (id, reason) = (printable(&why.config.id), explained(why, states));
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
        self.out.text("\n")
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
    pub(super) fn finish(
        &mut self,
        totals: &Totals,
        firing: &[Firing],
        not_evaluated: &NotEvaluated,
        files: &[(String, Option<String>)],
    ) -> anyhow::Result<()> {
        if let Some(tool) = &mut self.tool {
            let unknown: String = not_evaluated.each().map(|(id, lack)| tool.not_evaluated(id, lack)).collect();
            self.out.text(&unknown)?;
            let end = tool.end(totals, firing, files)?;
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
            in_words_at_most(firing, NAMED).iter().for_each(|line| say(&format!("  {line}")));
        }
        Ok(())
    }
}

impl<'a> Explained<'a> {
    fn new(why: &Explanation<'a>, states: &States, file: &'a str, line: u64) -> Self {
        let status = status_of(why, states);
        let (current_value, percentage) = match why.reason {
            Reason::Exceeded { current, percentage } => (Some(current), Some(percentage)),
            Reason::Within { current } => (Some(current), None),
            Reason::NotMetered | Reason::OtherUser | Reason::OtherInstance | Reason::Disabled => (None, None),
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
            state: status.map(|status| status.state),
            since: status.map(|status| status.since),
            reason: explained(why, states),
        }
    }
}

fn status_of(why: &Explanation<'_>, states: &States) -> Option<AlertStatus> {
    let has = why.reason.applies() && why.config.has_states();
    has.then(|| states.status(&why.config.id, &why.event.instance_id)).flatten()
}

/// Why, and for how long: `cpu_percent_avg is 95 %, over 80 %; pending for 2m of 5m`.
fn explained(why: &Explanation<'_>, states: &States) -> String {
    let Some(status) = status_of(why, states) else { return why.to_string() };
    let passed = span(status.until - status.since);
    let of = why.config.hold.filter(|_| status.state == AlertState::Pending);
    let of = of.map_or_else(String::new, |hold| format!(" of {hold}"));
    match status.state {
        AlertState::NoData => format!("{why}; no data since {}", time(status.since)),
        state => format!("{why}; {state} for {passed}{of}"),
    }
}

/// A change for people: `resolved after 1h`.
fn in_words(alert: &ThresholdAlert) -> String {
    let passed = span(alert.at - alert.since);
    let words = match alert.kind {
        AlertKind::Resolved => format!("resolved after {passed}"),
        AlertKind::Repeat => format!("firing for {passed}"),
        AlertKind::NoData => format!("no data for {passed}"),
        kind => kind.to_string(),
    };
    alert.reason.map_or_else(|| words.clone(), |reason| format!("{words}, {reason}"))
}

fn span(seconds: i64) -> TimeSpan {
    TimeSpan::from_seconds(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
}

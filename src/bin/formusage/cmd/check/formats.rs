//! Violations for tools: annotations, code scanning, test dashboards, monitoring.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use form_usage_events::threshold::{AlertSeverity, ThresholdSet, ThresholdViolation};
use form_usage_events::units::{figure, rfc3339};
use form_usage_events::validate::Severity;

use super::report::Totals;
use super::states::{Firing, NAMED, in_words_at_most};
use crate::cli::CheckFormat;
use crate::exit::Exit;
use crate::findings::{Commands, Log, Remark, Rule, Suites, unreadable};
use crate::output::printable;

/// The rule of lines that are no valid event.
const INVALID: &str = "invalid-event";

/// So many thresholds have their figures in the line for monitoring; the line must stay short.
const FIGURES: usize = 20;

/// What a format keeps between two violations.
pub(super) enum Format {
    Github(Commands),
    Sarif(Log),
    Junit(Suites),
    Nagios(Service),
}

impl Format {
    /// The format and how it begins; `None` for those that people and pipes read.
    pub(super) fn begin(format: CheckFormat, thresholds: &ThresholdSet) -> Option<(Self, String)> {
        match format {
            CheckFormat::Table | CheckFormat::Json | CheckFormat::Ndjson => None,
            CheckFormat::Github => Some((Self::Github(Commands::default()), String::new())),
            CheckFormat::Sarif => {
                let (log, begin) = Log::begin(&rules(thresholds));
                Some((Self::Sarif(log), begin))
            }
            CheckFormat::Junit => {
                Some((Self::Junit(Suites::new("formusage check", "exceeds no threshold")), String::new()))
            }
            CheckFormat::Nagios => Some((Self::Nagios(Service::default()), String::new())),
        }
    }

    /// The text for a violation by the event on this line.
    pub(super) fn violation(&mut self, file: &str, line: u64, violation: &ThresholdViolation) -> String {
        if let Self::Nagios(service) = self {
            service.violation(violation);
            return String::new();
        }
        let message = words(violation);
        self.remark(&Remark {
            rule: &violation.config.id,
            severity: match (&*self, violation.config.severity) {
                // To a dashboard of tests a violation is a failure, however bad.
                (Self::Junit(_), _) | (_, None | Some(AlertSeverity::Critical)) => Severity::Error,
                _ => Severity::Warning,
            },
            line,
            message: &message,
            help: violation.config.description.as_deref(),
            ..unreadable(file, "")
        })
    }

    /// The text for a line that is no valid event.
    pub(super) fn invalid(&mut self, file: &str, line: u64, fault: &str) -> String {
        self.remark(&Remark { rule: INVALID, line, ..unreadable(file, fault) })
    }

    fn remark(&mut self, remark: &Remark<'_>) -> String {
        match self {
            Self::Github(commands) => commands.line(remark),
            Self::Sarif(log) => log.result(remark),
            Self::Junit(suites) => {
                suites.add(remark);
                String::new()
            }
            Self::Nagios(_) => String::new(),
        }
    }

    /// How it ends; `files` are those that were read, and why not to their end.
    pub(super) fn end(
        &mut self,
        totals: &Totals,
        firing: &[Firing],
        files: &[(String, Option<String>)],
    ) -> anyhow::Result<String> {
        let failures = files.iter().filter_map(|(file, why)| Some((&**file, why.as_deref()?)));
        Ok(match self {
            Self::Github(commands) => {
                let lines: String = failures.map(|(file, why)| commands.line(&unreadable(file, why))).collect();
                lines + &commands.end()
            }
            Self::Sarif(log) => log.end(&failures.collect::<Vec<_>>()),
            Self::Junit(suites) => {
                files.iter().for_each(|(file, why)| suites.file(file, why.as_deref()));
                suites.end()?
            }
            Self::Nagios(service) => {
                // What was critical before this run is so still.
                service.critical |= firing.iter().any(|it| it.critical);
                service.line(totals, firing)
            }
        })
    }

    /// The exit code, where the format has its own.
    pub(super) fn exit(&self, totals: &Totals) -> Option<Exit> {
        match self {
            Self::Nagios(service) => Some(Exit::Status(service.state(totals).0)),
            _ => None,
        }
    }
}

/// Every threshold as a rule.
fn rules(thresholds: &ThresholdSet) -> Vec<Rule> {
    let rule = |config: &form_usage_events::threshold::ThresholdConfig| Rule {
        id: config.id.clone(),
        severity: match config.severity {
            None | Some(AlertSeverity::Critical) => Severity::Error,
            Some(_) => Severity::Warning,
        },
        what: format!("{} is over {}", config.resource_type, config.threshold_type),
        more: config.description.clone().unwrap_or_default(),
    };
    let invalid = Rule {
        id: INVALID.to_owned(),
        severity: Severity::Error,
        what: "A line is no valid usage event".to_owned(),
        more: "It was not held against the thresholds; formusage validate says what is wrong with it.".to_owned(),
    };
    thresholds.configs().map(rule).chain([invalid]).collect()
}

fn words(violation: &ThresholdViolation) -> String {
    let ThresholdViolation { config, current_value, instance_id, user_id, timestamp, .. } = violation;
    let unit = config.threshold_type.unit();
    let time = rfc3339(*timestamp).unwrap_or_else(|| timestamp.to_string());
    format!(
        "{} of {instance_id} (user {user_id}) is {} {unit}, over the limit of {} at {time}",
        config.resource_type,
        figure(*current_value),
        config.threshold_type
    )
}

/// One line as monitoring plugins print it: a state, words, and performance data.
#[derive(Debug, Default)]
pub(super) struct Service {
    critical: bool,
    /// By threshold: the largest value, the limit, the unit.
    worst: BTreeMap<String, (f64, f64, String)>,
}

impl Service {
    fn violation(&mut self, violation: &ThresholdViolation) {
        self.critical |= violation.config.severity == Some(AlertSeverity::Critical);
        let known = self.worst.contains_key(&violation.config.id);
        if known || self.worst.len() < FIGURES {
            let unit = violation.config.threshold_type.unit().to_owned();
            let fresh = (violation.current_value, violation.threshold_value, unit);
            let worst = self.worst.entry(violation.config.id.clone()).or_insert(fresh);
            worst.0 = worst.0.max(violation.current_value);
        }
    }

    /// The exit code and its name.
    fn state(&self, totals: &Totals) -> (u8, &'static str) {
        match totals {
            _ if self.critical => (2, "CRITICAL"),
            // What could not be looked at is worse than a warning: nobody knows.
            totals if totals.invalid_lines + totals.unreadable + totals.untold > 0 => (3, "UNKNOWN"),
            totals if totals.violations > 0 || totals.alerts.is_some_and(|it| it.fires()) => (1, "WARNING"),
            _ => (0, "OK"),
        }
    }

    fn line(&self, totals: &Totals, firing: &[Firing]) -> String {
        let (_, state) = self.state(totals);
        let mut words = in_words_at_most(firing, NAMED);
        words.push(totals.words());
        let mut line = format!("FORMUSAGE {state} - {}", words.join("; "));
        for (id, (value, limit, unit)) in self.worst.iter().take(3) {
            let _ = write!(line, "; {id} {} {unit} of {} {unit}", figure(*value), figure(*limit));
        }
        let mut line = tame(&line);
        let _ = write!(
            line,
            " | events={} violations={};0;;0 invalid_lines={};0;;0",
            totals.events,
            totals.objections(),
            totals.invalid_lines
        );
        if let Some(alerts) = totals.alerts {
            let _ = write!(line, " firing={};0;;0 pending={};;;0", alerts.now.firing, alerts.now.pending);
        }
        for (id, (value, limit, unit)) in &self.worst {
            // A label has no equals sign, and a quote in it is doubled. Units are those that plugins may use.
            let label = tame(id).replace('=', "_").replace('\'', "''");
            let unit = if ["s", "%", "B", "KB", "MB", "GB", "TB"].contains(&&**unit) { unit } else { "" };
            let _ = write!(line, " '{label}'={value}{unit};{limit};;0");
        }
        line + "\n"
    }
}

/// What can't go where the monitoring reads on: a bar begins the data, a line end the next line.
fn tame(text: &str) -> String {
    printable(&text.replace(['|', '\n', '\r'], " ")).into_owned()
}

/// The line for a run that could not begin.
pub(super) fn unknown(error: &anyhow::Error) -> String {
    format!("FORMUSAGE UNKNOWN - {}\n", tame(&format!("{error:#}")))
}

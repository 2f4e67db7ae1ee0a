//! Violations for tools: annotations, code scanning, test dashboards, monitoring.

use std::sync::Arc;

use form_usage_events::threshold::{AlertSeverity, ThresholdConfig, ThresholdSet, ThresholdViolation};
use form_usage_events::units::{figure, rfc3339};
use form_usage_events::validate::Severity;

use super::nagios::{Peaks, Service};
use super::not_evaluated::Lack;
use super::report::Totals;
use super::states::Firing;
use crate::cli::CheckFormat;
use crate::exit::Exit;
use crate::findings::{Commands, Log, Remark, Rule, Suites, unreadable};
use crate::output::Notation;

/// The rule of lines that are no valid event.
const INVALID: &str = "invalid-event";

/// What a format keeps between two violations.
pub(super) enum Format {
    Github(Commands),
    Sarif(Log),
    Junit(Suites),
    Nagios(Service),
}

/// What a report in `format` is written in.
pub(super) const fn notation_of(format: CheckFormat) -> Notation {
    match format {
        CheckFormat::Table | CheckFormat::Github | CheckFormat::Nagios => Notation::Words,
        CheckFormat::Json | CheckFormat::Ndjson | CheckFormat::Sarif => Notation::Json,
        CheckFormat::Junit => Notation::Xml,
    }
}

impl Format {
    /// The format and how it begins; `None` for those that people and pipes read.
    pub(super) fn begin(format: CheckFormat, thresholds: &Arc<ThresholdSet>) -> Option<(Self, String)> {
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
            CheckFormat::Nagios => Some((Self::Nagios(Service::new(thresholds)), String::new())),
        }
    }

    /// The text for a violation by the event on this line.
    pub(super) fn violation(&mut self, file: &str, line: u64, violation: &ThresholdViolation) -> String {
        if let Self::Nagios(service) = self {
            service.violation(violation);
            return String::new();
        }
        self.complaint(file, line, violation, &words(violation))
    }

    /// The text for an instance of which nothing was heard since `since`, in Unix seconds, as the event on this line tells;
    /// `violation` has its last figure.
    pub(super) fn silence(&mut self, file: &str, line: u64, violation: &ThresholdViolation, since: i64) -> String {
        if let Self::Nagios(service) = self {
            service.tell_of(&violation.config);
            return String::new();
        }
        let ThresholdViolation { instance_id, user_id, .. } = violation;
        let since = rfc3339(since).unwrap_or_else(|| since.to_string());
        let message = format!("nothing was heard of {instance_id} (user {user_id}) since {since}");
        self.complaint(file, line, violation, &message)
    }

    fn complaint(&mut self, file: &str, line: u64, violation: &ThresholdViolation, message: &str) -> String {
        self.remark(&Remark {
            rule: &violation.config.id,
            severity: match (&*self, violation.config.severity) {
                // To a dashboard of tests a violation is a failure, however bad.
                (Self::Junit(_), _) | (_, None | Some(AlertSeverity::Critical)) => Severity::Error,
                _ => Severity::Warning,
            },
            line,
            message,
            help: violation.config.description.as_deref(),
            ..unreadable(file, "")
        })
    }

    /// The text for a line that is no valid event.
    pub(super) fn invalid(&mut self, file: &str, line: u64, fault: &str) -> String {
        self.remark(&Remark { rule: INVALID, line, ..unreadable(file, fault) })
    }

    /// The text for a threshold that events could not be held against. It is a warning, and no violation.
    pub(super) fn not_evaluated(&mut self, threshold: &str, lack: &Lack) -> String {
        let words = lack.words(threshold);
        let place = unreadable(&lack.file, &words);
        let remark = Remark { rule: threshold, severity: Severity::Warning, line: lack.line, ..place };
        match self {
            Self::Junit(suites) => {
                suites.skip(&remark);
                String::new()
            }
            _ => self.remark(&remark),
        }
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
            Self::Nagios(service) => service.line(totals, firing),
        })
    }

    /// What takes in events that exceed nothing, where the format shows their values.
    pub(super) fn peaks(&self) -> Option<Arc<Peaks>> {
        match self {
            Self::Nagios(service) => Some(service.peaks.clone()),
            _ => None,
        }
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
    let rule = |config: &ThresholdConfig| Rule {
        id: config.id.clone(),
        severity: match config.severity {
            None | Some(AlertSeverity::Critical) => Severity::Error,
            Some(_) => Severity::Warning,
        },
        what: format!("{} is over {}.", config.resource_type, config.threshold_type),
        more: advice(config),
    };
    let invalid = Rule {
        id: INVALID.to_owned(),
        severity: Severity::Error,
        what: "A line is no valid usage event.".to_owned(),
        more: "It was not held against the thresholds; formusage validate says what is wrong with it.".to_owned(),
    };
    thresholds.configs().map(rule).chain([invalid]).collect()
}

/// Whom a threshold is for, when it is exceeded, and what to do.
fn advice(config: &ThresholdConfig) -> String {
    let description = config.description.as_ref().map(|text| format!("{text} ")).unwrap_or_default();
    let user = config.only_user().map_or_else(|| "every user".to_owned(), |user| format!("user {user}"));
    let instance =
        config.only_instance().map_or_else(|| "every instance".to_owned(), |instance| format!("instance {instance}"));
    format!(
        "{description}The threshold {} is for {instance} of {user}, and is exceeded by what is strictly greater than {}. Lower the \
         usage of the instance, or change the limit in the thresholds.",
        config.id, config.threshold_type
    )
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

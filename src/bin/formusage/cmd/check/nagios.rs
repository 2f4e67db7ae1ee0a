//! `--format nagios`: one line as monitoring plugins print it: a state, words, and performance data.
//!
//! What may stand in the line is said by the [guidelines for plugins](https://www.monitoring-plugins.org/doc/guidelines.html).

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use form_usage_events::events::{MetricSet, UsageMetrics};
use form_usage_events::threshold::{AlertSeverity, ThresholdConfig, ThresholdSet, ThresholdViolation};
use form_usage_events::units::figure;

use super::report::Totals;
use super::states::{Firing, NAMED, in_words_at_most};
use crate::output::printable;

/// So many thresholds have their figures in the line for monitoring; the line must stay short.
const FIGURES: usize = 20;

/// Labels of performance data that are not of a threshold.
const OWN_LABELS: [&str; 5] = ["events", "violations", "invalid_lines", "firing", "pending"];

/// The largest value that events showed for each of the first thresholds by id, exceeded or not. Several threads add to
/// it.
#[derive(Debug)]
pub(super) struct Peaks {
    set: Arc<ThresholdSet>,
    /// For each place of `ThresholdSet::configs`: 0 where no event was for it, else the bits of the value and one more.
    /// Values are not negative, so that their bits have their order.
    largest: Vec<(usize, AtomicU64)>,
}

impl Peaks {
    pub(super) fn new(set: &Arc<ThresholdSet>) -> Self {
        let enabled = set.configs().enumerate().filter(|(_, config)| config.enabled);
        let largest = enabled.take(FIGURES).map(|(place, _)| (place, AtomicU64::new(0))).collect();
        Self { set: set.clone(), largest }
    }

    /// Takes in an event of this user and instance.
    pub(super) fn observe(&self, user_id: &str, instance_id: &str, metrics: &UsageMetrics, not_metered: MetricSet) {
        for (place, largest) in &self.largest {
            if let Some(value) = self.set.current_at(*place, user_id, instance_id, metrics, not_metered) {
                largest.fetch_max(value.max(0.0).to_bits().saturating_add(1), Ordering::Relaxed);
            }
        }
    }

    /// Each threshold with the largest value; `None` where no event was for it.
    fn all(&self) -> impl Iterator<Item = (&ThresholdConfig, Option<f64>)> {
        self.largest.iter().filter_map(|(place, largest)| {
            let value = largest.load(Ordering::Relaxed).checked_sub(1).map(f64::from_bits);
            Some((self.set.configs().nth(*place)?, value))
        })
    }
}

/// The service that the monitoring sees.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) critical: bool,
    pub(super) peaks: Arc<Peaks>,
    /// Of those that were exceeded, by threshold.
    worst: BTreeMap<String, Figure>,
}

/// The performance data of one threshold.
#[derive(Debug)]
struct Figure {
    /// `None` where no event was for it.
    value: Option<f64>,
    limit: f64,
    unit: String,
    is_critical: bool,
}

impl Figure {
    fn of(config: &ThresholdConfig, value: Option<f64>) -> Self {
        let unit = config.threshold_type.unit().to_owned();
        let is_critical = config.severity() == AlertSeverity::Critical;
        Self { value, limit: config.threshold_type.value(), unit, is_critical }
    }

    /// `value[unit];warn;crit;min`, with the limit in the place of its severity.
    fn performance(&self) -> String {
        // U is the value that could not be determined. Units are those that plugins may use.
        let value = self.value.map_or_else(|| "U".to_owned(), |value| value.to_string());
        let is_known = self.value.is_some() && ["s", "%", "B", "KB", "MB", "GB", "TB"].contains(&&*self.unit);
        let unit = if is_known { &*self.unit } else { "" };
        let limit = self.limit;
        if self.is_critical { format!("{value}{unit};;{limit};0") } else { format!("{value}{unit};{limit};;0") }
    }
}

impl Service {
    pub(super) fn new(thresholds: &Arc<ThresholdSet>) -> Self {
        Self { critical: false, peaks: Arc::new(Peaks::new(thresholds)), worst: BTreeMap::new() }
    }

    pub(super) fn violation(&mut self, violation: &ThresholdViolation) {
        let ThresholdViolation { config, current_value, .. } = violation;
        self.tell_of(config);
        let known = self.worst.contains_key(&config.id);
        if known || self.worst.len() < FIGURES {
            let worst = self.worst.entry(config.id.clone()).or_insert_with(|| Figure::of(config, None));
            worst.value = Some(worst.value.map_or(*current_value, |value| value.max(*current_value)));
        }
    }

    /// A threshold tells of an instance, with a figure or without one.
    pub(super) fn tell_of(&mut self, config: &ThresholdConfig) {
        self.critical |= config.severity() == AlertSeverity::Critical;
    }

    /// The exit code and its name.
    pub(super) fn state(&self, totals: &Totals) -> (u8, &'static str) {
        match totals {
            _ if self.critical => (2, "CRITICAL"),
            // What could not be looked at is worse than a warning: nobody knows.
            totals if totals.invalid_lines + totals.unreadable + totals.untold > 0 => (3, "UNKNOWN"),
            totals if totals.has_objections() => (1, "WARNING"),
            totals if totals.out_of_order + totals.not_metered > 0 => (3, "UNKNOWN"),
            _ => (0, "OK"),
        }
    }

    pub(super) fn line(&mut self, totals: &Totals, firing: &[Firing]) -> String {
        // What was critical before this run is so still.
        self.critical |= firing.iter().any(|it| it.critical);
        let (_, state) = self.state(totals);
        let mut words = in_words_at_most(firing, NAMED);
        words.push(totals.words());
        let mut line = format!("FORMUSAGE {state} - {}", words.join("; "));
        for (id, Figure { value, limit, unit, .. }) in self.worst.iter().take(3) {
            let value = value.unwrap_or_default();
            let _ = write!(line, "; {id} {} {unit} of {} {unit}", figure(value), figure(*limit));
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
        line + &self.figures() + "\n"
    }

    /// The performance data of the thresholds: of all that were exceeded first, then of others, sorted by id.
    fn figures(&self) -> String {
        let peaks: Vec<(String, Figure)> =
            self.peaks.all().map(|(config, value)| (config.id.clone(), Figure::of(config, value))).collect();
        let others = peaks.iter().filter(|(id, _)| !self.worst.contains_key(id)).map(|(id, figure)| (id, figure));
        let mut shown: Vec<_> = self.worst.iter().chain(others).take(FIGURES).collect();
        shown.sort_by_key(|(id, _)| *id);
        let mut labels: HashSet<String> = OWN_LABELS.map(str::to_owned).into();
        let mut text = String::new();
        for (id, figure) in shown {
            let _ = write!(text, " '{}'={}", label(id, &mut labels), figure.performance());
        }
        text
    }
}

/// `id` as a label of performance data, unlike those in `taken`. Labels hold no equals sign; a quote may be doubled in
/// one by the guidelines, which not every reader of them knows.
fn label(id: &str, taken: &mut HashSet<String>) -> String {
    let plain = tame(id).replace(['=', '\'', '"'], "_");
    let numbered = (2..).map(|number| format!("{plain}_{number}"));
    let free = std::iter::once(plain.clone()).chain(numbered).find(|label| !taken.contains(label));
    let label = free.unwrap_or(plain);
    taken.insert(label.clone());
    label
}

/// What can't go where the monitoring reads on: a bar begins the data, a line end the next line.
fn tame(text: &str) -> String {
    printable(&text.replace(['|', '\n', '\r'], " ")).into_owned()
}

/// The line for a run that could not begin.
pub(super) fn unknown(error: &anyhow::Error) -> String {
    format!("FORMUSAGE UNKNOWN - {}\n", tame(&format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_no_quote_and_are_unlike_each_other() {
        let mut taken = HashSet::from(["events".to_owned()]);
        for (id, expected) in
            [("a='b'", "a__b_"), ("a_'b'", "a__b__2"), ("events", "events_2"), ("x|y", "x y"), ("cpu, 10%", "cpu, 10%")]
        {
            assert_eq!(label(id, &mut taken), expected);
        }
    }
}
